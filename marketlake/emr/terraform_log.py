"""What Terraform says, read: events of ``-json``, one answer, or words in a frame."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_FRAME: Final = re.compile(r"\x1b\[[0-9;]*m|[│╷╵]")
_DONE: Final = frozenset({"apply_complete", "apply_errored"})


def answer_of(log: Path) -> Any:
    """Read a log that is one JSON document; None where it is none."""
    try:
        return json.loads(log.read_text(errors="replace"))
    except ValueError:
        return None


def events_of(log: Path) -> list[dict[str, Any]]:
    """Read the events of a command that was run with ``-json``; other lines are left out."""
    return list(_events(log.read_text(errors="replace").splitlines()))


def _events(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def problem_of(log: Path) -> str:
    """Tell in one line what a command with ``-json`` failed of, with the place where it has one."""
    answer = answer_of(log)
    if isinstance(answer, dict) and "diagnostics" in answer:
        problems = answer["diagnostics"]
    else:
        problems = [e["diagnostic"] for e in events_of(log) if e.get("type") == "diagnostic"]
    for problem in problems:
        if problem.get("severity") != "error":
            continue
        parts = [problem.get("address"), problem.get("summary"), problem.get("detail")]
        return ": ".join(" ".join(str(part).split()) for part in parts if part)
    return error_of(errors_of(log).read_text(errors="replace")) + f" (log: {log})"


def errors_of(log: Path) -> Path:
    """Give the file that standard error goes to, beside the log."""
    return log.with_suffix(".err")


def words_of(log: Path) -> str:
    """Read all that a command said that was run without ``-json``."""
    parts = (log, errors_of(log))
    return "\n".join(part.read_text(errors="replace") for part in parts)


def error_of(text: str) -> str:
    """Take the words of an error out of the frame that Terraform draws around it."""
    words = " ".join(_FRAME.sub(" ", text).split())
    begin = words.find("Error: ")
    return words[begin + len("Error: ") :] if begin >= 0 else words


def progress_of(line: str) -> str:
    """Give what a line tells of a resource that is done; empty for all other lines."""
    for event in _events([line]):
        if event.get("type") in _DONE and event.get("hook", {}).get("action") != "read":
            return str(event.get("@message", ""))
    return ""
