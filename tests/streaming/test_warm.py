"""The warm-up compiles every loop, and what it keeps is all that another process needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Names each compiled function, whether it only ever stands inside others, and the types it was
# compiled for; and counts what was compiled rather than read from the cache.
SPY = """
import importlib, json, pkgutil
from numba.core import event
from numba.core.dispatcher import Dispatcher
import marketlake.analytics, streaming.sources, streaming.stages
from streaming.warm import warm, warm_daily

with event.install_recorder("numba:compile") as compiled:
    warm()
    warm_daily()
functions = {}
for package in (marketlake.analytics, streaming.sources, streaming.stages):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        for function in vars(importlib.import_module(module.name)).values():
            if isinstance(function, Dispatcher):
                name = f"{function.py_func.__module__}.{function.py_func.__name__}"
                inside = function.targetoptions.get("inline") == "always"
                functions[name] = [inside, [str(types) for types in function.signatures]]
print(json.dumps([functions, len(compiled.buffer)]))
"""


def spy(cache: Path) -> tuple[dict[str, Any], int]:
    done = subprocess.run(
        [sys.executable, "-c", SPY],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


@pytest.mark.slow
def test_no_loop_is_left_to_the_first_batch(tmp_path: Path):
    functions, compiled = spy(tmp_path)
    assert {"streaming.stages.scan._scan", "marketlake.analytics.bars._roll"} <= functions.keys()
    left = [name for name, (inside, types) in functions.items() if not inside and not types]
    assert left == []
    assert compiled > 0
    assert spy(tmp_path)[1] == 0
