"""Spark's daemon of Python workers, with what every worker needs imported before it forks them.

Spark's own forks empty interpreters: each worker then imports numba and the stages for itself, and
on two cores that is more time than a small job takes. The code must be there before a worker is
forked: with ``--py-files`` it is not, with `marketlake.emr.spark_submit` it is.
"""

from __future__ import annotations

import gc

from pyspark.daemon import manager

import streaming.stages.tasks  # noqa: F401

if __name__ == "__main__":
    # What is shared with the workers stays shared: no collection writes into it.
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]
