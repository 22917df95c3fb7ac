"""The states of two lakes, compared bit for bit; how they lie in files is another matter."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from marketlake.analytics.admission import NO_TIME_US
from marketlake.analytics.arrays import Int64Array, pack_arrays, unpack_arrays
from marketlake.contracts.tables import STATE_FOLDS
from marketlake.lake.compare import Difference, first_surplus, text_of
from marketlake.lake.errors import LakeError
from marketlake.lake.manifests import Manifests
from marketlake.lake.storage import Storage
from streaming.pipeline import PIPELINE
from streaming.positions import state_chains
from streaming.stages.lane_fold import CLOCKS
from streaming.stages.state_files import read_state


def state_differences(left: str, right: str) -> list[Difference]:
    """Compare what the folds of two lakes know after their last batches.

    Parameters
    ----------
    left, right : str
        Paths or URIs of the lakes.

    Returns
    -------
    list of Difference
        Up to two: a row of each side.

    Raises
    ------
    LakeError
        A lake has no batch yet, or a state cannot be read.
    """
    with duckdb.connect() as one, duckdb.connect() as two:
        sides = first_surplus(one.from_arrow(_state(left)), two.from_arrow(_state(right)))
    name = f"{STATE_FOLDS.layer}.{STATE_FOLDS.name}"
    return [
        Difference(name, f"only in {lake}", text_of(row))
        for lake, row in zip((left, right), sides, strict=True)
        if row is not None
    ]


def _state(lake: str) -> pa.Table:
    storage = Storage(lake)
    last = Manifests(storage, PIPELINE).last()
    if last is None:
        raise LakeError(f"lake {lake} has no batch yet")
    parts = []
    for name, chain in state_chains(last).items():
        state = _comparable(read_state(storage, [file.path for file in chain]))
        parts.append(state.append_column("input", pa.repeat(name, state.num_rows)))
    return pa.concat_tables(parts)


def _comparable(state: pa.Table) -> pa.Table:
    """Leave out the clocks of inputs that never had a message.

    Half of a shard that was split may stay empty. Whether its lane ever heard of it hangs on where
    batches were cut, and nothing hangs on that.
    """
    kinds, payloads = state["kind"].to_pylist(), state["payload"].to_pylist()
    for row, kind in enumerate(kinds):
        if kind == "lane":
            arrays = unpack_arrays(payloads[row])
            payloads[row] = pack_arrays({**arrays, CLOCKS: _begun(arrays[CLOCKS])})
    column = pa.array(payloads, pa.binary())
    return state.set_column(state.schema.get_field_index("payload"), "payload", column)


def _begun(clocks: Int64Array) -> Int64Array:
    _partition, latest_us, floor_us, active = clocks.T
    began: Int64Array = clocks[(latest_us > NO_TIME_US) | (floor_us > NO_TIME_US) | (active != 0)]
    return began
