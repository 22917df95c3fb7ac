"""What every error that is told to a user derives from."""

from __future__ import annotations


class MarketlakeError(Exception):
    """Something a user can mend; the text is one line: what was wrong, where, and the mend."""
