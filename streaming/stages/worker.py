"""What makes a Python worker of Spark slow between tasks, taken away."""

from __future__ import annotations

import gc
import sys
from typing import Final
from zipimport import zipimporter

_OBJECTS_TO_WALK: Final = 25_000
"""Walked in about 3 ms."""


def lighten() -> None:
    """Spare a worker what Spark makes it do around every task; call it at the start of each.

    Measured a task: 0.1 to 0.2 s of CPU for the walk, 0.1 s for the jar, 0.05 s for the archives.
    """
    _spare_the_collector()
    _leave_the_jars()
    _forget_the_archives()


def _spare_the_collector() -> None:
    # Spark collects garbage after every task. Modules and compiled loops are hundreds of thousands
    # of objects that stay, and come as they are needed, so freezing them once is not enough.
    if len(gc.get_objects()) > _OBJECTS_TO_WALK:
        gc.collect()
        gc.freeze()


def _leave_the_jars() -> None:
    # Spark puts its core jar on the path of Python, and has every task invalidate the import
    # caches: the directory of the jar, some thousands of entries, is then read anew.
    jars = [path for path in sys.path if path.endswith(".jar")]
    for jar in jars:
        sys.path.remove(jar)
        sys.path_importer_cache.pop(jar, None)


def _forget_the_archives() -> None:
    # The same is done for the archive that pyspark is imported from, once for each package in it.
    # A finder that is asked for again takes the directory that was read before.
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]
