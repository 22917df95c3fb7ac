"""Errors of the lake, each one line for its reader."""

from __future__ import annotations

from marketlake.contracts.errors import MarketlakeError


class LakeError(MarketlakeError):
    """The lake cannot be read or written as asked."""


class LakeNotFoundError(LakeError):
    """No lake stands at the path."""
