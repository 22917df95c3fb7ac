"""Triangles of closes against a plain recomputation, and the known facts of recorded data."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pandas as pd
import pytest

from marketlake.analytics.triangles.cycles import cycle_arrays, find_cycles
from marketlake.analytics.triangles.indicative import IndicativeTriangles
from marketlake.contracts.instruments import resolve, with_fee
from marketlake.settings.model import SpreadSettings

from . import plain_triangles

MINUTE_US = 60_000_000
T0 = 1_736_949_600_000_000
NAMES = sorted([
    ("binance", "BTC-USDT"), ("binance", "BTC-USDC"), ("binance", "USDC-USDT"),
    ("binance", "ETH-USDT"), ("binance", "ETH-BTC"), ("kraken", "BTC-USD"),
    ("kraken", "ETH-USD"), ("kraken", "ETH-BTC"), ("binance", "BTC-USDT-PERP"),
])  # fmt: skip
DOLLARS = {"BTC": 95_000.0, "ETH": 2_850.0}
ALL = np.ones(7, np.int64)


def study(listed, bars, smallest, studied=ALL):
    """Rows ``(time, interval, cycle, gross, fees)`` of bars ``(time, interval, code, …)``."""
    cycles = find_cycles(listed)
    fold = IndicativeTriangles(
        cycle_arrays(cycles, listed), np.full(len(cycles), smallest), studied
    )
    names = ("time_us", "interval", "instrument", "close", "volume")
    kinds = (np.int64, np.int64, np.int64, np.float64, np.float64)
    values = zip(*bars, strict=True) if bars else [[]] * 5
    out = fold.step({n: np.array(v, k) for n, v, k in zip(names, values, kinds, strict=True)})
    fields = ("time_us", "interval", "cycle", "gross_bps", "fees_bps")
    rows = zip(*(out[n].tolist() for n in fields), strict=True)
    return [(t, k, cycles[c], gross, fees) for t, k, c, gross, fees in rows]


def plainly(listed, bars, smallest):
    """The better direction of every cycle whose legs all have closed and traded enough."""
    found = {}
    for (now_us, interval), moment in groupby(bars, key=lambda b: b[:2]):
        quoted = {}
        for _, _, code, close, volume in moment:
            if volume > 0:
                quoted[code] = {
                    "bid": close, "ask": close, "bid_size": volume, "ask_size": volume
                }  # fmt: skip
        for one in find_cycles(listed):
            way = plain_triangles.Round(listed, one.venue, one.assets[:-1])
            if any(code not in quoted for code, _ in way.legs):
                continue
            gross, most = way.top(quoted)
            key = now_us, interval, one.venue, frozenset(one.assets)
            if most >= smallest and gross > found.get(key, (-np.inf,))[0]:
                found[key] = gross, way.fees
    return found


def random_bars(seed):
    rng = np.random.default_rng(seed)
    keys = sorted(
        {(T0 + int(m) * MINUTE_US, int(k), int(c)) for m, k, c in zip(
            rng.integers(0, 30, 600), rng.integers(0, 2, 600),
            rng.integers(0, len(NAMES), 600), strict=True,
        )}
    )  # fmt: skip
    bars = []
    for t, k, c in keys:
        base, quote = NAMES[c][1].split("-")[:2]
        level = DOLLARS.get(base, 1.0) / DOLLARS.get(quote, 1.0)
        volume = float(rng.choice([0.0, 10.0, 1e6], p=[0.1, 0.2, 0.7])) / DOLLARS.get(base, 1.0)
        bars.append((t, k, c, level * float(np.exp(rng.normal(scale=1e-3))), volume))
    return bars


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("smallest", [0.0, 100.0])
def test_random_closes_give_what_a_plain_recomputation_gives(seed, smallest):
    listed = [with_fee(resolve(*name), 1.0 + i) for i, name in enumerate(NAMES)]
    bars = random_bars(seed)
    expected = plainly(listed, bars, smallest)
    rows = study(listed, bars, smallest)
    found = {(t, k, one.venue, frozenset(one.assets)): (g, f) for t, k, one, g, f in rows}
    assert len(expected) > 5
    assert len(found) == len(rows), "one row a cycle and moment"
    assert found.keys() == expected.keys()
    for key, (gross, fees) in found.items():
        assert gross == pytest.approx(expected[key][0], rel=1e-9, abs=1e-9)
        assert fees == expected[key][1]


def test_cut_between_moments_it_gives_the_same():
    listed = [resolve(*name) for name in NAMES]
    bars = random_bars(3)
    found = []
    for _, moment in groupby(bars, key=lambda b: b[:2]):
        found += study(listed, list(moment), 100.0)
    assert found == study(listed, bars, 100.0)


def test_other_intervals_are_not_studied():
    listed = [resolve(*name) for name in NAMES]
    only = np.array([0, 1, 0, 0, 0, 0, 0])
    assert {row[1] for row in study(listed, random_bars(1), 0.0)} == {0, 1}
    assert {row[1] for row in study(listed, random_bars(1), 0.0, only)} == {1}


def bars_of(listed, frames):
    """Rows in the total order of frames ``(instrument, times in µs, closes, volumes)``."""
    code = {i.instrument: c for c, i in enumerate(listed)}
    rows = [
        (int(t) + MINUTE_US - 1, 1, code[name], float(close), float(volume))
        for name, times, closes, volumes in frames
        for t, close, volume in zip(times, closes, volumes, strict=True)
    ]
    return sorted(rows)


@pytest.mark.recorded
def test_the_triangle_of_the_ftx_window(recorded_data):
    frames, closes = [], {}
    for name in ("BTC-USDT", "ETH-USDT", "ETH-BTC"):
        file = recorded_data / "ftx-2022-11" / f"{name.replace('-', '')}.csv.gz"
        frame = pd.read_csv(file)
        times = frame["Kline open time"].astype("int64") * 1_000
        frames.append((name, times, frame["Close price"], frame["Volume"]))
        closes[name] = pd.Series(frame["Close price"].to_numpy(), times.to_numpy())
    listed = [resolve("binance", name) for name, *_ in sorted(frames, key=lambda f: f[0])]
    rows = study(listed, bars_of(listed, frames), SpreadSettings().min_close_notional)
    # The other way to say it: how far the cross is from the quotient of the two, either way.
    ratio = closes["ETH-BTC"] * closes["BTC-USDT"] / closes["ETH-USDT"]
    expected = (np.maximum(ratio, 1.0 / ratio) - 1.0) * 1e4
    assert len(rows) == len(expected) == 1_000
    np.testing.assert_allclose([row[3] for row in rows], expected.to_numpy(), atol=1e-6)
    residuals = np.array([row[3] for row in rows])
    assert np.median(residuals).round(1) == 1.1
    assert residuals.max().round(1) == 23.9


@pytest.mark.recorded
def test_the_bad_print_of_binance_us_makes_no_triangle(recorded_data):
    frames = []
    for name in ("BTC-USDT", "BTC-USDC", "USDC-USDT"):
        file = (
            recorded_data / "depeg-2023-03" / f"binanceus_{name.replace('-', '').lower()}.parquet"
        )
        frame = pd.read_parquet(file)
        times = frame["open_time"].astype("int64") * 1_000
        day = (times >= _us("2023-03-03")) & (times < _us("2023-03-04"))
        volumes = frame["volume"].astype(float)
        frames.append((name, times[day], frame["close"].astype(float)[day], volumes[day]))
    listed = [resolve("binanceus", name) for name, *_ in sorted(frames, key=lambda f: f[0])]
    bars = bars_of(listed, frames)
    rows = study(listed, bars, SpreadSettings().min_close_notional)
    assert len(rows) > 20, "the day has triangles"
    assert max(row[3] for row in rows) < 60.0
    # Both rules are needed. Without the size the minute itself would be shown ...
    unsized = study(listed, bars, 0.0)
    times = [row[0] + 1 - MINUTE_US for row in unsized if row[3] > 900.0]
    assert times == [_us("2023-03-03 01:47")]
    # ... and with prices carried on without volume the next one: 1,006 bps lost one way round,
    # which is 1,119 gained the other.
    carried = [(t, k, c, close, volume or 1e9) for t, k, c, close, volume in bars]
    at = _us("2023-03-03 01:48") + MINUTE_US - 1
    [gained] = [row[3] / 1e4 for row in study(listed, carried, 0.0) if row[0] == at]
    assert round((1.0 - 1.0 / (1.0 + gained)) * 1e4) == 1006


def _us(text):
    return int(pd.Timestamp(text, tz="UTC").value // 1_000)
