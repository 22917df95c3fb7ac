"""Compiles every loop that the stream and the daily job run, so that their first batch need not.

``python -m streaming.warm`` folds a small simulated market through both steps, without Spark, with
the types that Spark's workers meet; numba keeps what it compiles beside the modules. Run by
``scripts/setup``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from kafka.record import MemoryRecordsBuilder

from marketlake.analytics.kernel import initial_states
from marketlake.analytics.microstructure.trades import EffectiveSpread
from marketlake.contracts.events import US_PER_SECOND, EventType, topic_of
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.market import simulate
from marketlake.settings.model import Settings
from streaming.sources.record_batches import messages_of, record_batches
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


def warm_daily() -> None:
    """Take one trade through the kernel that only the daily job calls, with the types it meets."""
    kernel = EffectiveSpread(1)
    columns = [pa.array([1.0]).to_numpy() for _ in kernel.inputs]
    kernel.step(initial_states(kernel.initial(), 1), np.zeros(1, np.int64), *columns)


def _inputs() -> Iterator[pa.RecordBatch]:
    """Give the market as rows of a source, an input a topic."""
    messages: dict[EventType, list[tuple[bytes, bytes]]] = {}
    for event_type, key, value in simulate(_CONFIG).messages():
        messages.setdefault(event_type, []).append((key, value))
    for event_type, rows in messages.items():
        table = messages_of(list(record_batches(_answer(rows))), 0, len(rows))
        assert table is not None
        columns = {
            "source": pa.repeat("kafka", len(rows)),
            "topic": pa.repeat(topic_of(event_type), len(rows)),
            "partition": pa.repeat(pa.scalar(0, pa.int32()), len(rows)),
        }
        named = {name: table[name].combine_chunks() for name in table.column_names}
        yield pa.RecordBatch.from_pydict({**columns, **named})


def _answer(rows: list[tuple[bytes, bytes]]) -> bytes:
    """Messages as a broker answers with them."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 30)
    for key, value in rows:
        builder.append(timestamp=_END_US // 1_000, key=key, value=value, headers=[])
    builder.close()
    return bytes(builder.buffer())


if __name__ == "__main__":
    warm()
    warm_daily()
