"""The manifest of a batch, from what its tasks answered."""

from __future__ import annotations

from collections.abc import Iterable

from marketlake.lake.datafiles import DataFile
from marketlake.lake.errors import LakeError
from marketlake.lake.manifests import Manifest, ManifestInput
from streaming.stages.messages import BatchPlan, Counts, InputPosition, StepResult
from streaming.stages.tasks import is_merge
from streaming.steps import Results


def decide(
    plan: BatchPlan,
    kind: str,
    spark_batch: int,
    source: str,
    last: Manifest | None,
    results: Results,
) -> Manifest:
    """Say what a batch is, for good.

    Parameters
    ----------
    kind : str
        ``messages``; ``control`` where inputs went idle or ended; ``lanes`` where they were joined
        or parted.
    spark_batch : int
        Last batch of the Spark query that is contained.
    last : Manifest or None
        Of the batch before.

    Raises
    ------
    LakeError
        If not every message that was read is in silver or in quarantine.
    """
    lanes, merges = results
    parts: list[StepResult] = [*lanes, *merges]
    counts = _counts(plan, parts)
    positions = {**plan.inputs, **{p.name: p for lane in lanes for p in lane.positions}}
    before = last.state_files if last else {}
    after = _chains_after(before, parts, {p.lane_name for p in positions.values()})
    return Manifest(
        sequence=plan.sequence,
        kind=kind,
        spark_batch=spark_batch,
        source=source,
        ingest_time_us=plan.ingest_time_us,
        inputs={name: _input(position) for name, position in sorted(positions.items())},
        files=[file for part in parts for file in part.files],
        lane_changes=(last.lane_changes if last else 0) + (kind == "lanes"),
        state_files=after,
        replaced_state_files=[
            file
            for name, chain in before.items()
            for file in chain
            if file not in after.get(name, ())
        ],
        counts={
            "read": {"messages": counts.read},
            "silver": counts.silver,
            "quarantine": {"messages": counts.quarantined},
            "reasons": counts.reasons,
            "gold": counts.gold,
        },
    )


def _counts(plan: BatchPlan, parts: Iterable[StepResult]) -> Counts:
    counts = Counts()
    for part in parts:
        counts.add(part.counts)
    if not counts.balanced:
        raise LakeError(
            f"batch {plan.sequence}: {counts.read} messages read, but {counts.silver} in "
            f"silver and {counts.quarantined} in quarantine; nothing was committed"
        )
    return counts


def _input(position: InputPosition) -> ManifestInput:
    return ManifestInput(
        position.topic,
        position.partition,
        position.next_offset,
        position.watermark_us,
        position.latest_us,
        position.active,
        position.lane,
    )


def _chains_after(
    before: dict[str, list[DataFile]], parts: Iterable[StepResult], lanes: set[str]
) -> dict[str, list[DataFile]]:
    """Give the state's files after a batch: of lanes there are, and of merge buckets."""
    after = {name: chain for name, chain in before.items() if name in lanes or is_merge(name)}
    for part in parts:
        if part.state_file is not None:
            kept = [] if part.state_is_whole else after[part.name]
            after[part.name] = [*kept, part.state_file]
    return after
