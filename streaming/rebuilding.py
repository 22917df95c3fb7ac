"""A new lake from the bronze of another, beside the stream that fills that one.

Where a release computes something else, or cannot read the state of the one before, it cannot go on
from its checkpoint. It takes bronze again, control events and all, into tables, state and manifests
of its own, up to a batch of the old lake; when that lake stands still, the new one gets a copy of
its checkpoint, and the stream goes on there with the very next message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from pyspark.sql import SparkSession

from marketlake.contracts.tables import STATE_FOLDS
from marketlake.lake.bronze_retention import complete_after_us
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.lake.manifests import Manifest, Manifests
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings
from streaming.pipeline import APPLICATION, PIPELINE, REBUILD_MARK, BatchListener, Pipeline
from streaming.recompute import bronze_rows
from streaming.stages.messages import InputPosition

_PROGRESS: Final = f"_marketlake/{PIPELINE}"
_COPIED: Final = (f"{_PROGRESS}/kinesis", f"{_PROGRESS}/checkpoint")


class _Mark(msgspec.Struct):
    """What a lake is rebuilt from."""

    lake: str


class Rebuild:
    """A lake that is made from the bronze of another.

    Parameters
    ----------
    old, new : Storage
        The lake that a stream fills, and the one that is to take its place.
    settings : Settings
        What the new lake is computed by.
    most_messages : int
        Messages taken at once; a batch of the old lake is not divided.

    Raises
    ------
    LakeError
        If the new lake is another's, or bronze no longer has all messages.
    """

    def __init__(self, old: Storage, new: Storage, settings: Settings, most_messages: int) -> None:
        self.old, self.new, self._settings = old, new, settings
        self._most_messages = most_messages
        self._from, self._to = Manifests(old, PIPELINE), Manifests(new, PIPELINE)
        if not self._from.sequences():
            raise LakeError(f"no lake at {old.uri}, or no batch in it yet")
        if complete_after_us(old) is not None:
            raise LakeError(
                f"bronze of lake {old.uri} no longer has all messages (maintain.bronze_days): a "
                "new lake cannot be made of it; read the source again into one"
            )
        self._require_ours()

    def _require_ours(self) -> None:
        mark = self.new.path(REBUILD_MARK)
        if not self.new.exists(REBUILD_MARK):
            if self._to.sequences():
                raise LakeError(
                    f"lake {self.new.uri} is not being rebuilt (there is no {mark}): it was "
                    "switched to, or is another; name a new --lake"
                )
            return
        source = msgspec.json.decode(self.new.read(REBUILD_MARK), type=_Mark).lake
        if source != self.old.uri:
            raise LakeError(
                f"lake {self.new.uri} is being rebuilt from {source}, not from {self.old.uri}; "
                "name that, or a new --lake"
            )

    def committed(self) -> Manifest:
        """Read the last batch of the old lake that all its tables have.

        Raises
        ------
        LakeError
            If there is none.
        """
        # The state is committed last.
        sequence = DeltaTables(self.old, (STATE_FOLDS,)).version_of(STATE_FOLDS.path, APPLICATION)
        if sequence is None:
            raise LakeError(f"no batch of lake {self.old.uri} is committed yet; start its stream")
        return self._from.read(sequence)

    def behind(self) -> int:
        """Count the messages of committed batches that the new lake lacks."""
        last = self._to.last()
        return sum(m.counts["read"]["messages"] for m in self._since(last, self.committed()))

    def catch_up(self, spark: SparkSession, listener: BatchListener | None = None) -> None:
        """Take what the old lake has and the new one lacks; what was taken stays taken.

        The caller holds the lease of the new lake.

        Raises
        ------
        LakeError
            If a lake cannot be read or written, or the messages do not add up.
        """
        upto = self.committed()
        first = self._from.read(self._from.sequences()[0])
        if not self.new.exists(REBUILD_MARK):
            self.new.write_new(REBUILD_MARK, msgspec.json.encode(_Mark(self.old.uri)))
        inputs = {n: InputPosition(i.topic, i.partition) for n, i in first.inputs.items()}
        pipeline = Pipeline(spark, self.new.uri, self._settings, upto.source, inputs, listener)
        pipeline.recover(streams=False)
        after = self._taken(pipeline.last)
        for part in self._parts(self._since(pipeline.last, upto)):
            rows = bronze_rows(spark, self.old, after, part[-1])
            pipeline.take_again(_kind(part), part[-1], rows)
            after = part[-1]

    def _taken(self, last: Manifest | None) -> Manifest | None:
        """Find the batch of the old lake up to which the new one goes: they have one time."""
        if last is None:
            return None
        for sequence in reversed(self._from.sequences()):
            manifest = self._from.read(sequence)
            if manifest.ingest_time_us == last.ingest_time_us:
                return manifest
            if manifest.ingest_time_us < last.ingest_time_us:
                break
        raise LakeError(
            f"lake {self.old.uri} has no batch up to which {self.new.uri} was rebuilt: it is not "
            "the same lake any more, or maintain has removed the manifest; name a new --lake"
        )

    def _since(self, last: Manifest | None, upto: Manifest) -> Iterator[Manifest]:
        taken = self._taken(last)
        for sequence in self._from.sequences():
            if (taken is None or sequence > taken.sequence) and sequence <= upto.sequence:
                yield self._from.read(sequence)

    def _parts(self, manifests: Iterator[Manifest]) -> Iterator[list[Manifest]]:
        """Put batches together that are taken at once."""
        part: list[Manifest] = []
        messages = 0
        for manifest in manifests:
            read = manifest.counts["read"]["messages"]
            if part and (messages + read > self._most_messages or _cuts(part[-1], manifest)):
                yield part
                part, messages = [], 0
            part.append(manifest)
            messages += read
        if part:
            yield part

    def require_complete(self) -> None:
        """See that the new lake has all that the old one has.

        The caller holds the leases of both.

        Raises
        ------
        LakeError
            If a batch was decided that is not committed, or not taken.
        """
        last, committed = self._from.last(), self.committed()
        if last is None or last.sequence != committed.sequence:
            raise LakeError(
                f"the last batch of lake {self.old.uri} is decided and not committed everywhere: "
                "start its stream once more, and stop it"
            )
        if self.behind():
            raise LakeError(f"lake {self.new.uri} lacks batches of {self.old.uri}: run it again")

    def hand_over(self) -> None:
        """Give the new lake the progress of the old one's query: a stream can go on there.

        Killed half-way, it is done again: until the mark is gone no stream begins there.
        """
        self.require_complete()
        for folder in _COPIED:
            for file in self.old.walk(folder):
                self.new.write(file.path, self.old.read(file.path))
        self.new.delete([REBUILD_MARK])


def _kind(part: list[Manifest]) -> str:
    kinds = {manifest.kind for manifest in part}
    return "messages" if "messages" in kinds else part[-1].kind


def _cuts(before: Manifest, manifest: Manifest) -> bool:
    """Tell whether a batch may not be taken together with the one before.

    Where partitions are folded together, or begin or end to be, the order of batches is the only
    one there is between their rows.
    """
    lanes = any(i.lane for m in (before, manifest) for i in m.inputs.values())
    return lanes or "lanes" in {before.kind, manifest.kind}
