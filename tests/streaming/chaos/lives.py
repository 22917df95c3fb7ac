"""Streams as processes: started, waited for, and ended with all that they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.processes import MARKETLAKE, Process
from tests.streaming.chaos.errors import CampaignError

_LIFE_S: Final = 300.0
_POLL_S: Final = 0.001
_SETTINGS: Final = {
    "MARKETLAKE_STREAM__TRIGGER_MS": "0",
    # An hour: nothing goes idle, which the undisturbed run could not repeat.
    "MARKETLAKE_STREAM__IDLE_MS": "3600000",
}


class Life:
    """One process of the stream.

    Parameters
    ----------
    log : Path
        What it says is added there.
    """

    def __init__(
        self,
        source: str,
        lake: str,
        offsets: int,
        environment: Mapping[str, str],
        log: Path,
        *more: str,
    ) -> None:
        command = ["stream", "--source", source, "--lake", lake, "--max-offsets", str(offsets)]
        self._log = log
        self._process = Process(
            MARKETLAKE, *command, *more, environment={**_SETTINGS, **environment}, said=log
        )

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened while the process lives."""
        deadline = time.monotonic() + _LIFE_S
        while not happened():
            if self._process.poll() is not None:
                raise CampaignError(f"a stream ended by itself: {self.last_line()}")
            if time.monotonic() > deadline:
                raise CampaignError(f"a stream did nothing in {_LIFE_S:.0f} s")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """Send SIGKILL to the driver, which must still be there."""
        self._process.kill()
        if self._process.wait() != -signal.SIGKILL:
            raise CampaignError(f"a stream ended by itself: {self.last_line()}")

    def finish(self) -> None:
        """Wait until it has ended, and well."""
        if self._process.wait() != 0:
            raise CampaignError(f"a stream failed: {self.last_line()}")

    def last_line(self) -> str:
        """Give the last line that any process said."""
        return self._log.read_text(errors="replace").strip().rpartition("\n")[2]

    def bury(self) -> None:
        """Kill the driver, and wait until what it leaves behind, JVM and workers, has ended."""
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + 10
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self._process.pid, 0)
                time.sleep(0.05)
            os.killpg(self._process.pid, signal.SIGKILL)
