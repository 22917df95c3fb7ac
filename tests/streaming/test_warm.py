"""The warm-up compiles every loop, and what it keeps is all that another process needs.

What it keeps is looked at in the archive that clusters get: packing has run the warm-up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from marketlake.emr.packing import pack_application
from marketlake.emr.packing_steps import KERNEL_ENVIRONMENT
from marketlake.settings import environment
from tests.yarn.cluster import interpreter

# Names each compiled function, and whether it only ever stands inside others; and counts what was
# compiled rather than read from where packing has kept it.
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
                functions[name] = function.targetoptions.get("inline") == "always"
print(json.dumps([functions, len(compiled.buffer)]))
"""


def spy(code: Path) -> tuple[dict[str, bool], int]:
    done = subprocess.run(
        [sys.executable, "-c", SPY],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=code,
        env={**os.environ, **KERNEL_ENVIRONMENT, "PYTHONPATH": str(code)},
    )
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def kept(code: Path, name: str) -> list[Path]:
    """List what is kept of a function, a file for the types of each call."""
    module, _, function = name.rpartition(".")
    file = code.joinpath(*module.split("."))
    return list((file.parent / "__pycache__").glob(f"{file.name}.{function}-*.nbc"))


@pytest.mark.slow
def test_no_loop_is_left_to_the_first_batch(tmp_path: Path):
    packed = pack_application(environment.cache_dir() / "packed", interpreter=interpreter())
    with tarfile.open(packed.path) as archive:
        archive.extractall(tmp_path, filter="data")
    functions, compiled = spy(tmp_path)
    assert {"streaming.stages.scan._scan", "marketlake.analytics.bars._roll"} <= functions.keys()
    left = [name for name, inside in functions.items() if not inside and not kept(tmp_path, name)]
    assert left == []
    assert compiled == 0
    # Where nothing is kept it is compiled, and told here.
    lost = next(tmp_path.rglob("bars._roll-*.nbi"))
    lost.unlink()
    assert spy(tmp_path)[1] > 0
