"""Errors of the lake, each one line for its reader."""

from __future__ import annotations


class LakeError(Exception):
    """The lake cannot be read or written as asked."""


class LakeNotFoundError(LakeError):
    """No lake stands at the path."""
