"""What a command tells while it works, and what it leaves for ``--json``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """Lines for a person as they come, and facts for a program at the end.

    Attributes
    ----------
    echo : callable
        Shows a line.
    facts : dict
        What ``--json`` prints.
    """

    echo: Callable[[str], None]
    facts: dict[str, Any] = field(default_factory=dict)
    _steps: list[dict[str, Any]] = field(default_factory=list)
    _began_s: float = field(default_factory=time.monotonic)

    def step(self, number: int, of: int, title: str) -> None:
        """Begin a step; the one before has ended."""
        self._end_step()
        self._steps.append({"step": number, "title": title, "began_s": time.monotonic()})
        self.echo(f"[{number}/{of}] {title}")

    def say(self, line: str) -> None:
        """Tell something of the present step."""
        self.echo(f"      {line}")

    def fact(self, **facts: Any) -> None:
        """Keep something for ``--json``."""
        self.facts |= facts

    def done(self) -> dict[str, Any]:
        """Give all facts, with what each step took."""
        self._end_step()
        steps = [{"step": s["title"], "seconds": s["seconds"]} for s in self._steps]
        took_s = round(time.monotonic() - self._began_s, 1)
        return {**self.facts, "steps": steps, "seconds": took_s}

    def _end_step(self) -> None:
        if self._steps and "seconds" not in self._steps[-1]:
            step = self._steps[-1]
            step["seconds"] = round(time.monotonic() - step["began_s"], 1)
