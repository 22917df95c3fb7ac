"""What the tests of live feeds share."""

from collections.abc import Iterator

import pytest

from .local_venues import LocalVenues, serve_binance, serve_kraken, serve_okx


@pytest.fixture
def server() -> Iterator[LocalVenues]:
    """Binance, OKX and Kraken on this machine."""
    with LocalVenues() as running:
        serve_binance(running)
        serve_okx(running)
        serve_kraken(running)
        yield running
