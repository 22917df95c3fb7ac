"""Symbols written without a separator, such as ``BTCUSDT``, into base and quote."""

from __future__ import annotations


def longest_first(assets: str) -> tuple[str, ...]:
    """Order quote assets, separated by spaces, so that ``BUSD`` is tried before ``USD``."""
    return tuple(sorted(assets.split(), key=lambda asset: (-len(asset), asset)))


def split_symbol(symbol: str, quotes: tuple[str, ...]) -> tuple[str, str] | None:
    """Split ``BTCUSDT`` into ``("BTC", "USDT")`` by the first quote asset it ends in.

    Parameters
    ----------
    symbol : str
        Upper case, without a separator.
    quotes : tuple of str
        The venue's own quote assets, ``longest_first``: with those of other venues ``SHIBUSD``
        would be read as SHI in BUSD.

    Returns
    -------
    tuple of str or None
        None where the symbol ends in none of them, or holds nothing before it.
    """
    for quote in quotes:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    return None
