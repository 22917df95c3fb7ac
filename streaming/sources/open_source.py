"""The source that a URI names."""

from __future__ import annotations

from marketlake.feeds.publish import KafkaTarget, UnsupportedTargetError, parse_target
from marketlake.settings.model import Settings
from streaming.sources.kafka import KafkaSource
from streaming.sources.kinesis import KinesisSource
from streaming.sources.source import Source, SourceError


def open_source(uri: str, settings: Settings) -> Source:
    """Read ``kafka:HOST:PORT[/PREFIX]`` or ``kinesis:REGION[/PREFIX]``, as the publishers do.

    Raises
    ------
    SourceError
        If it is neither.
    """
    try:
        target = parse_target(uri)
    except UnsupportedTargetError as error:
        raise SourceError(f"--source: {error}") from error
    if isinstance(target, KafkaTarget):
        return KafkaSource(target.bootstrap, target.prefix)
    return KinesisSource.of(target, settings.kinesis)
