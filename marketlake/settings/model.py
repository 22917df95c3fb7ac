"""The settings of the pipeline: typed, complete with defaults, and closed to unknown keys.

They come, the later winning, from the defaults in the modules of the sections, a TOML file,
``MARKETLAKE_…`` variables (``MARKETLAKE_STREAM__LATENESS_MS=5000``) and the command line. No
setting holds a secret.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariableError

from marketlake.contracts.errors import MarketlakeError
from marketlake.settings.calculation import (
    AnomalySettings,
    BarSettings,
    IndicatorSettings,
    MicrostructureSettings,
    SpreadSettings,
)
from marketlake.settings.cluster import ClusterSettings, Deployed, EmrSettings
from marketlake.settings.environment import unknown_variables
from marketlake.settings.feed import FeedSettings
from marketlake.settings.lake import MaintainSettings, S3Settings
from marketlake.settings.observability import ObservabilitySettings
from marketlake.settings.sources import KinesisSettings, StreamSettings

__all__ = [
    "AnomalySettings",
    "BarSettings",
    "ClusterSettings",
    "Deployed",
    "EmrSettings",
    "FeedSettings",
    "IndicatorSettings",
    "KinesisSettings",
    "MaintainSettings",
    "MicrostructureSettings",
    "ObservabilitySettings",
    "S3Settings",
    "Settings",
    "SettingsError",
    "SpreadSettings",
    "StreamSettings",
    "load_settings",
]

_PREFIX: Final = "MARKETLAKE_"


class SettingsError(MarketlakeError):
    """A setting is unknown or has a value outside its domain."""


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    stream: StreamSettings = StreamSettings()
    kinesis: KinesisSettings = KinesisSettings()
    bars: BarSettings = BarSettings()
    indicators: IndicatorSettings = IndicatorSettings()
    microstructure: MicrostructureSettings = MicrostructureSettings()
    anomalies: AnomalySettings = AnomalySettings()
    spreads: SpreadSettings = SpreadSettings()
    feed: FeedSettings = FeedSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    cluster: ClusterSettings = ClusterSettings()
    emr: EmrSettings = EmrSettings()
    s3: S3Settings = S3Settings()
    maintain: MaintainSettings = MaintainSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values come by the constructor."""
        return env_settings, init_settings


def load_settings(file: Path | None = None, **sections: object) -> Settings:
    """Load and check the settings.

    Parameters
    ----------
    file : Path, optional
        TOML file with a table a section.
    **sections
        Values that replace the file's, by section.

    Raises
    ------
    SettingsError
        With one line a problem: where it stands, and what is allowed.
    """
    values: dict[str, object] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"settings file {file}: {error}") from error
    unknown = unknown_variables(
        _PREFIX, (*Settings.model_fields, "data", "cache", "jars", "terraform_mirror")
    )
    if unknown:
        raise SettingsError(
            f"settings refused: unknown variable {', '.join(unknown)}; sections are "
            f"{', '.join(Settings.model_fields)}, as in {_PREFIX}STREAM__LATENESS_MS"
        )
    try:
        return Settings(**{**values, **sections})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].lower()}"
            for item in error.errors()
        )
        raise SettingsError(f"settings refused: {problems}") from error
    except UnreadableVariableError as error:
        # A variable of a list or a whole section, which is given as JSON.
        raise SettingsError(f"settings refused: {error}: {error.__cause__}") from error
