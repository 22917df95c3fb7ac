"""Spark's daemon of Python workers, with what every worker needs imported before it forks them.

Spark's own forks empty interpreters: each worker then imports numba and the stages for itself, and
on two cores that is more time than a small job takes. Where the code comes to a worker after it was
forked, as with ``--py-files``, it cannot be used: `marketlake.emr.spark_submit` has it there before.
"""

from __future__ import annotations

import gc

from pyspark.daemon import manager

import streaming.stages.tasks  # noqa: F401

if __name__ == "__main__":
    # What is shared with the workers stays shared: no collection writes into it.
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]
