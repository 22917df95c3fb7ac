"""Compiles every loop that the stream runs, so that its first batch need not.

``python -m streaming.warm`` folds a small simulated market through both steps, without Spark, with
the types that Spark's workers meet; numba keeps what it compiles beside the modules. Run by
``scripts/setup``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from marketlake.contracts.events import US_PER_SECOND, EventType, topic_of
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.market import simulate
from marketlake.settings.model import Settings
from streaming.stages.messages import BatchPlan
from streaming.stages.tasks import step_one, step_two

_CONFIG: Final = SimulationConfig(seed=1, duration_s=130)
"""Long enough for a bar of a minute to close while others are open."""
_END_US: Final = _CONFIG.start_time_us + _CONFIG.duration_s * US_PER_SECOND


def warm() -> None:
    """Fold a small market into a lake that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="marketlake-warm-") as lake:
        plan = BatchPlan(
            lake=lake,
            sequence=0,
            label="warm",
            # The defaults: which loops there are does not hang on what the environment sets.
            settings=Settings.model_construct(),
            ingest_time_us=_END_US,
            ends_us=_END_US,
        )
        for _ in step_two(step_one(_inputs(), plan), plan):
            pass


def _inputs() -> Iterator[pa.RecordBatch]:
    """Give the market as rows of a source, an input a topic."""
    messages: dict[EventType, list[tuple[bytes, bytes]]] = {}
    for event_type, key, value in simulate(_CONFIG).messages():
        messages.setdefault(event_type, []).append((key, value))
    time = pa.scalar(_END_US, pa.timestamp("us", "UTC"))
    for event_type, rows in messages.items():
        keys, values = zip(*rows, strict=True)
        count = len(rows)
        yield pa.RecordBatch.from_pydict(
            {
                "source": pa.repeat("kafka", count),
                "topic": pa.repeat(topic_of(event_type), count),
                "partition": pa.repeat(pa.scalar(0, pa.int32()), count),
                "offset": pa.array(range(count), pa.int64()),
                "key": pa.array(keys, pa.binary()),
                "value": pa.array(values, pa.binary()),
                "source_timestamp": pa.repeat(time, count),
            }
        )


if __name__ == "__main__":
    warm()
