"""What a user would take instead of the daily job: the floor of its input, and its arithmetic.

``copy`` has DuckDB write a CSV as Snappy Parquet, undecoded: the least that any job must do.
``indicators`` is pandas with TA-Lib over bars: of the 64 columns of ``gold/indicators`` all 44 that
TA-Lib has, by their names there, and the two VWAPs by pandas.
``anomalies`` is pandas: a rolling z-score of returns, ranges and volumes, with thresholds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import talib

_SERIES = ["venue", "instrument"]

Column = npt.NDArray[np.float64]


def copy(source: Path, target: Path) -> None:
    """Write a CSV file as Parquet."""
    duckdb.connect().execute(
        "COPY (SELECT * FROM read_csv($source)) TO $target (FORMAT parquet, COMPRESSION snappy)",
        {"source": str(source), "target": str(target)},
    )


def indicators(source: Path, target: Path) -> None:
    """Compute the columns of ``gold/indicators`` that TA-Lib has, a series at a time."""
    bars = pd.read_csv(source)
    parts = [
        part.assign(**_averages_and_bands(part), **_momentum(part), **_volume_and_range(part))
        for _, part in bars.groupby(_SERIES, sort=False)
    ]
    pd.concat(parts).to_parquet(target, compression="snappy")


def _arrays(bars: pd.DataFrame) -> list[Column]:
    return [bars[name].to_numpy(np.float64) for name in ("high", "low", "close", "volume")]


def _averages_and_bands(bars: pd.DataFrame) -> dict[str, Column]:
    high, low, close, volume = _arrays(bars)
    upper, middle, lower = talib.BBANDS(close, 20)
    highest, lowest = talib.MAX(high, 20), talib.MIN(low, 20)
    traded = pd.Series(volume)
    turnover = pd.Series((high + low + close) / 3) * traded
    return {
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "ema_12": talib.EMA(close, 12),
        "ema_26": talib.EMA(close, 26),
        "wma_20": talib.WMA(close, 20),
        "dema_20": talib.DEMA(close, 20),
        "tema_20": talib.TEMA(close, 20),
        "kama_10": talib.KAMA(close, 10),
        "bollinger_upper_20_2": upper,
        "bollinger_middle_20_2": middle,
        "bollinger_lower_20_2": lower,
        "donchian_upper_20": highest,
        "donchian_middle_20": (highest + lowest) / 2,
        "donchian_lower_20": lowest,
        "psar_0p02_0p2": talib.SAR(high, low, 0.02, 0.2),
        "vwap_20": (turnover.rolling(20).sum() / traded.rolling(20).sum()).to_numpy(),
        "vwap_session": (turnover.cumsum() / traded.cumsum()).to_numpy(),
    }


def _momentum(bars: pd.DataFrame) -> dict[str, Column]:
    high, low, close, volume = _arrays(bars)
    macd, macd_signal, macd_hist = talib.MACD(close)
    ppo = talib.PPO(close, 12, 26, talib.MA_Type.EMA)
    ppo_signal = talib.EMA(ppo, 9)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    rsi_k, rsi_d = talib.STOCHRSI(close, 14, 14, 3, 0)
    aroon_down, aroon_up = talib.AROON(high, low, 14)
    return {
        "rsi_14": talib.RSI(close, 14),
        "macd_12_26_9": macd,
        "macd_signal_12_26_9": macd_signal,
        "macd_hist_12_26_9": macd_hist,
        "ppo_12_26_9": ppo,
        "ppo_signal_12_26_9": ppo_signal,
        "ppo_hist_12_26_9": ppo - ppo_signal,
        "stochastic_k_14_3_3": slow_k,
        "stochastic_d_14_3_3": slow_d,
        "stochrsi_k_14_14_3": rsi_k,
        "stochrsi_d_14_14_3": rsi_d,
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14),
        "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "aroon_up_14": aroon_up,
        "aroon_down_14": aroon_down,
        "aroon_oscillator_14": talib.AROONOSC(high, low, 14),
        "cci_20": talib.CCI(high, low, close, 20),
        "cmo_14": talib.CMO(close, 14),
        "mfi_14": talib.MFI(high, low, close, volume, 14),
        "roc_10": talib.ROC(close, 10),
        "trix_15": talib.TRIX(close, 15),
        "ultimate_7_14_28": talib.ULTOSC(high, low, close, 7, 14, 28),
        "williams_r_14": talib.WILLR(high, low, close, 14),
    }


def _volume_and_range(bars: pd.DataFrame) -> dict[str, Column]:
    high, low, close, volume = _arrays(bars)
    return {
        "obv": talib.OBV(close, volume),
        "ad": talib.AD(high, low, close, volume),
        "chaikin_3_10": talib.ADOSC(high, low, close, volume, 3, 10),
        "atr_14": talib.ATR(high, low, close, 14),
        "natr_14": talib.NATR(high, low, close, 14),
    }


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
