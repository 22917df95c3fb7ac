"""Bars for the tests of the indicators: walks, gaps, flat markets, recorded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

DEPEG = [
    "kraken_btcusd", "kraken_usdcusd", "coinbase_btcusd", "coinbase_usdtusd", "binanceus_usdcusdt",
]  # fmt: skip
FTX = ["BTCUSDT", "ETHBTC", "FTTUSDT"]


def random_walk(rows=5_000, start=100.0, seed=20230311):
    """A geometric walk of a tenth of a percent a bar, with volume."""
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))
    open_ = np.concatenate([[start], close[:-1]])
    volume = 10.0 + 100.0 * rng.random(rows)
    return {
        "open": open_,
        "high": np.maximum(open_, close) * (1 + rng.random(rows) * 1e-3),
        "low": np.minimum(open_, close) * (1 - rng.random(rows) * 1e-3),
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
        "open_time_us": np.arange(rows) * 60e6,
    }


def goes_flat(rows=200, flat=1_000):
    """A walk whose last bar's close is all that follows."""
    bars = random_walk(rows)
    price = bars["close"][-1]
    tail = {"open": price, "high": price, "low": price, "close": price, "volume": 5.0}
    tail["quote_volume"] = 5.0 * price
    times = np.arange(rows + flat) * 60e6
    held = {n: np.concatenate([bars[n], np.full(flat, value)]) for n, value in tail.items()}
    return held | {"open_time_us": times}


def constant(rows=300, price=0.1):
    """Bars that never move; the price has no exact double."""
    bars = {name: np.full(rows, price) for name in ("open", "high", "low", "close")}
    volume = np.full(rows, 7.0)
    times = np.arange(rows) * 60e6
    return bars | {"volume": volume, "quote_volume": volume * price, "open_time_us": times}


def recorded(folder: Path, name: str):
    """Bars of one pair of the recorded data sets; skips where they are absent."""
    depeg = folder / "depeg-2023-03" / f"{name}.parquet"
    table = pq.read_table(depeg).to_pandas() if depeg.exists() else _ftx(folder, name)
    names = ("open", "high", "low", "close", "volume")
    return {column: table[column].to_numpy(np.float64) for column in names}


def _ftx(folder: Path, name: str):
    path = folder / "ftx-2022-11" / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"the recorded bars of {name} are absent (see MARKETLAKE_DATA)")
    table = pd.read_csv(path, index_col=0)
    return table.rename(columns=lambda title: title.lower().removesuffix(" price"))
