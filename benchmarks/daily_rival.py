"""What a user would take instead of the daily job: the floor of its input, and its arithmetic.

``copy`` has DuckDB write a CSV as Snappy Parquet, undecoded: the least that any job must do.
``indicators`` is pandas with TA-Lib over bars: the columns of ``gold/indicators``.
``anomalies`` is pandas: a rolling z-score of returns, ranges and volumes, with thresholds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import talib

_SERIES = ["venue", "instrument"]


def copy(source: Path, target: Path) -> None:
    """Write a CSV file as Parquet."""
    duckdb.connect().execute(
        "COPY (SELECT * FROM read_csv($source)) TO $target (FORMAT parquet, COMPRESSION snappy)",
        {"source": str(source), "target": str(target)},
    )


def indicators(source: Path, target: Path) -> None:
    """Compute the columns of ``gold/indicators``, a series at a time."""
    bars = pd.read_csv(source)
    parts = [_of_series(part) for _, part in bars.groupby(_SERIES, sort=False)]
    pd.concat(parts).to_parquet(target, compression="snappy")


def _of_series(bars: pd.DataFrame) -> pd.DataFrame:
    high, low, close, volume = (
        bars[name].to_numpy(np.float64) for name in ("high", "low", "close", "volume")
    )
    macd, signal, histogram = talib.MACD(close)
    upper, middle, lower = talib.BBANDS(close, 20)
    typical = pd.Series((high + low + close) / 3)
    traded = pd.Series(volume)
    columns = {
        **{f"sma_{n}": talib.SMA(close, n) for n in (20, 50)},
        **{f"ema_{n}": talib.EMA(close, n) for n in (12, 26)},
        "rsi_14": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_hist": histogram,
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
        # TA-Lib has none.
        "vwap_20": ((typical * traded).rolling(20).sum() / traded.rolling(20).sum()).to_numpy(),
        "vwap_session": ((typical * traded).cumsum() / traded.cumsum()).to_numpy(),
    }
    return bars.assign(**columns)


def anomalies(source: Path, target: Path) -> None:
    """Find bars five deviations from the 60 before."""
    bars = pd.read_csv(source)
    series = bars.groupby(_SERIES, sort=False)
    metrics = {
        "return": np.log(bars["close"] / series["close"].shift()),
        "range": np.log(bars["high"] / bars["low"]),
        "volume": np.log(bars["volume"]),
    }
    found = []
    for name, values in metrics.items():
        windows = values.groupby([bars[key] for key in _SERIES]).rolling(60, min_periods=30)
        expected = windows.mean().reset_index(level=[0, 1], drop=True).shift()
        scale = windows.std().reset_index(level=[0, 1], drop=True).shift()
        score = (values - expected) / scale
        found.append(bars[score.abs() > 5].assign(metric=name, score=score))
    pd.concat(found).to_parquet(target, compression="snappy")


def main() -> int:
    """Run one of them."""
    jobs = {"copy": copy, "indicators": indicators, "anomalies": anomalies}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=jobs)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    jobs[options.job](options.source, options.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
