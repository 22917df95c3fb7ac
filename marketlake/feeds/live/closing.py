"""Cleaning up to the end, whoever is in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def to_the_end(cleaning: Coroutine[Any, Any, None]) -> None:
    """Await what closes something; cancelled meanwhile, finish it first.

    A feed that stops cancels its sources, and one of them may be closing a connection just then.
    """
    task = asyncio.ensure_future(cleaning)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
