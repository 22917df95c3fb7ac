"""The error of everything a laptop needs in place of a cluster."""

from __future__ import annotations

from marketlake.contracts.errors import MarketlakeError


class LocalError(MarketlakeError):
    """Something this machine lacks or refused: one line with what, where and the mend."""
