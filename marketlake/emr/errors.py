"""What the operator's commands refuse."""

from __future__ import annotations

from marketlake.contracts.errors import MarketlakeError


class EmrError(MarketlakeError):
    """A deployment cannot be made, read or changed as asked: one line with cause and mend."""
