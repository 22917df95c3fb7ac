"""What the sections of the settings have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Interval = Literal["1s", "1m", "5m", "15m", "1h", "4h", "1d"]


class Section(BaseModel):
    """A section: closed to unknown keys, and not changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
