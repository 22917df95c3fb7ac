"""The rival of the daily job does the same work: the columns that TA-Lib has of ours, and equal."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from marketlake.analytics.indicators.registry import DEFAULT
from marketlake.analytics.kernel import fold

_FOLDER = Path(__file__).parents[2] / "benchmarks"
TOLERANCE = 1e-9


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_it_computes_all_that_talib_has_of_what_the_daily_job_computes(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(3), 400
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, rows)))
    walk = pd.DataFrame(
        {
            "venue": "binance",
            "instrument": "A-USDT",
            "high": close * (1 + rng.random(rows) * 1e-3),
            "low": close * (1 - rng.random(rows) * 1e-3),
            "close": close,
            "volume": 1 + rng.random(rows),
        }
    )
    other = walk.assign(instrument="B-USDT", close=walk["low"])
    pd.concat([walk, other]).to_csv(tmp_path / "bars.csv", index=False, float_format="%.17g")

    _module("daily_rival").indicators(tmp_path / "bars.csv", tmp_path / "out.parquet")

    functions = _module("talib_functions")
    kernels = [kernel for kernel in DEFAULT if type(kernel) in functions.FUNCTIONS]
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert {name for kernel in kernels for name in kernel.outputs} == (
        set(found.columns) - set(walk.columns) - {"vwap_20", "vwap_session"}
    )
    for name, series in (("A-USDT", walk), ("B-USDT", other)):
        theirs = found[found["instrument"] == name]
        bars = {column: series[column].to_numpy(np.float64) for column in series.columns[2:]}
        for kernel in kernels:
            ours = fold(kernel, kernel.initial(), *(bars[n] for n in kernel.inputs))[1]
            columns = theirs[list(kernel.outputs)].to_numpy(np.float64).T
            columns[:, : kernel.warm_up] = np.nan
            apart = functions.difference(kernel, bars, ours, columns).max()
            assert apart <= TOLERANCE, (name, kernel.name, apart)
