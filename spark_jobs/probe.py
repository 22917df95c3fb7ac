"""``marketlake batch probe``: proves on a cluster that jobs can run there, and leaves the proof.

What a job needs is used once: the packed environment and our compiled code on the executors, Delta,
and the lake, written and read back.
"""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Annotated, Final

import pyarrow as pa
import typer

from marketlake.analytics.hashing import hash_text
from marketlake.lake.storage import Storage
from marketlake.settings.model import load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.options import Lake
from spark_jobs.sessions import job_session

_PLACE: Final = "_marketlake/probes"
_TASKS: Final = 4


def probe_command(
    *,
    lake: Lake,
    identity: Annotated[str, typer.Option("--id", help="Names the answer that is left there.")],
) -> None:
    """Prove that jobs can run here: executors, our code, Delta and the lake; leave an answer."""
    with one_line("batch probe"):
        storage = Storage(lake, load_settings(None).s3)
        spark = job_session("marketlake probe", storage, light=False)
        numbers = spark.range(0, _TASKS, 1, _TASKS)
        table = storage.path(f"{_PLACE}/{identity}/table")
        rows = numbers.mapInArrow(_compute, "id long, host string, hash string")
        rows.write.format("delta").mode("overwrite").save(table)
        read = spark.read.format("delta").load(table).collect()
        wrong = [row["id"] for row in read if row["hash"] != _hash(row["id"])]
        if sorted(row["id"] for row in read) != list(range(_TASKS)) or wrong:
            raise JobError(
                f"{len(read)} of {_TASKS} rows were read back from {table}, {len(wrong)} of them "
                "with other numbers than the driver computes: see that all nodes run one release"
            )
        answer = {
            "id": identity,
            "executors": sorted({row["host"] for row in read}),
            "driver": socket.gethostname(),
            "spark": spark.version,
            "python": platform.python_version(),
            "numpy": version("numpy"),
        }
        storage.write(f"{_PLACE}/{identity}/answer.json", json.dumps(answer).encode())
        typer.echo(json.dumps(answer))


def _compute(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give each number with this machine's name and what our compiled code makes of it."""
    for batch in batches:
        numbers = batch.column(0).to_pylist()
        hosts, hashes = [socket.gethostname()] * len(numbers), [_hash(n) for n in numbers]
        yield pa.RecordBatch.from_pydict({"id": batch.column(0), "host": hosts, "hash": hashes})


def _hash(number: int) -> str:
    return f"{int(hash_text(str(number))):016x}"
