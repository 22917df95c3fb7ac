"""Settings of logs and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from marketlake.settings.section import Section


class ObservabilitySettings(Section):
    """Logs and metrics of a run."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged; each batch is one line at info."""
    log_file: Path | None = None
    """JSON lines go there; to standard error where none is named."""
    metrics_port: int = Field(0, ge=0, le=65_535)
    """Port of the Prometheus endpoint; 0 for none."""
    metrics_host: str = "127.0.0.1"
    """Address that the endpoint listens on."""
