"""How far the stream is behind its source, watched from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from marketlake.lake.manifests import Manifest, ManifestInput
from streaming.stages.messages import InputPosition

LagListener = Callable[[Mapping[str, int]], None]
_LOG: Final = logging.getLogger(__name__)
_AFTER_FAILURE: Final = 15
"""Rounds to wait after one without an answer, so that the log is not filled."""


class OffsetSource(Protocol):
    """Knows where inputs end."""

    def end_offsets(self, inputs: Mapping[str, InputPosition | ManifestInput]) -> dict[str, int]:
        """Give the offset after the last message by input; nothing where no answer came."""


class LagWatch:
    """Compares the offsets read with the source's end; a context manager.

    Parameters
    ----------
    source : OffsetSource
        What is read.
    inputs : mapping
        Where the inputs stand now, by name.
    listeners : callables
        Told the lag by input, each round and after each batch; an empty mapping where it is not
        known. They are called from two threads.
    every_s : float
        Pause between two rounds.
    """

    def __init__(
        self,
        source: OffsetSource,
        inputs: Mapping[str, InputPosition | ManifestInput],
        *listeners: LagListener,
        every_s: float = 1.0,
    ) -> None:
        self._source = source
        self._inputs = dict(inputs)
        self._listeners = listeners
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)
        self._ends: Mapping[str, int] = {}

    @property
    def latest(self) -> Mapping[str, int]:
        """The lag by input, by the latest ends and offsets that are known."""
        inputs, ends = self._inputs, self._ends
        return {
            # Before the first message an input has no offset; a batch may have gone past the end.
            name: max(end - max(inputs[name].next_offset, 0), 0)
            for name, end in ends.items()
            if name in inputs
        }

    def batch(self, manifest: Manifest, _seconds: float) -> None:
        """Take the offsets of a committed batch; a listener of the pipeline."""
        self._inputs = dict(manifest.inputs)
        self._tell()

    def look(self) -> None:
        """Ask the source once, and tell the listeners."""
        self._ends = self._source.end_offsets(self._inputs)
        self._tell()

    def _tell(self) -> None:
        latest = self.latest
        for listener in self._listeners:
            listener(latest)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:  # noqa: BLE001 - whatever a listener meets, the watch goes on
                _LOG.exception("the lag could not be told")
            rounds = 1 if self._ends or not self._inputs else _AFTER_FAILURE
            if self._stop.wait(rounds * self._every_s):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
