"""What the runner asks of a source: Kafka and Kinesis answer alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from marketlake.contracts.errors import MarketlakeError
from marketlake.lake.manifests import ManifestInput
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings
from streaming.stages.messages import BatchPlan, InputPosition
from streaming.steps import Results


class SourceError(MarketlakeError):
    """The source cannot be read as asked."""


@dataclass(frozen=True)
class Reading:
    """The query that reads a source.

    Attributes
    ----------
    checkpoint : str
        Its checkpoint, relative to the lake.
    """

    spark: SparkSession
    settings: Settings
    storage: Storage
    checkpoint: str


@dataclass(frozen=True)
class Succession:
    """Inputs that go on as others: the shards that a shard was split into or merged to.

    Attributes
    ----------
    ended : (str, int)
        Topic and partition of an input that has ended.
    children : tuple of (str, int)
        What it goes on as and begins with this batch.
    parents : tuple of (str, int)
        All that goes on as those, itself included.
    heirs : tuple of (str, int) or None
        All that it goes on as: when each of them has had a message it need not be waited for any
        more. None where they are not all known.
    """

    ended: tuple[str, int]
    children: tuple[tuple[str, int], ...]
    parents: tuple[tuple[str, int], ...]
    heirs: tuple[tuple[str, int], ...] | None


class Source(Protocol):
    """Where a stream reads from."""

    @property
    def place(self) -> str:
        """Where it is, for the operator."""
        ...

    @property
    def drains_itself(self) -> bool:
        """True where Spark's trigger knows what is there; else the source plans no more then."""
        ...

    def light(self, settings: Settings) -> bool:
        """Tell whether no rows pass through the JVM."""
        ...

    def look(self) -> tuple[str, dict[str, InputPosition]]:
        """Give the name that a lake knows the source by, and the inputs that exist.

        Raises
        ------
        SourceError
            If it does not answer.
        """
        ...

    def require(self, inputs: Mapping[str, InputPosition]) -> None:
        """Refuse to drain what does not exist.

        Raises
        ------
        SourceError
            If there is no input.
        """
        ...

    def end_offsets(self, inputs: Mapping[str, InputPosition | ManifestInput]) -> dict[str, int]:
        """Give the offset after the last message by input; nothing where it is not known."""
        ...

    def read(self, reading: Reading, *, drain: bool) -> DataFrame:
        """Give the streaming frame.

        Parameters
        ----------
        drain : bool
            Read what is there, and then no more.
        """
        ...

    def steps(
        self, reading: Reading, frame: DataFrame, spark_batch: int, plan: BatchPlan
    ) -> Results:
        """Take both steps over a batch; give nothing of lanes where it holds nothing."""
        ...

    def successions(self, reading: Reading, spark_batch: int) -> Sequence[Succession]:
        """Give the inputs that go on as others when a batch begins."""
        ...
