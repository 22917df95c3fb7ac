"""Study rows of closes against a plain recomputation, and by hand."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from marketlake.analytics.spreads.indicative import NO_CLOSE_US, IndicativeSpreads
from marketlake.analytics.spreads.universe import build_universe
from marketlake.contracts.instruments import resolve, with_fee

from . import plain_spreads

MINUTE_US = 60_000_000
T0 = 1_736_949_600_000_000
MAX_AGE_US = 3 * MINUTE_US
NAMES = sorted([
    ("binance", "BTC-USDT"), ("okx", "BTC-USDT"), ("coinbase", "BTC-USD"), ("kraken", "BTC-USD"),
    ("kraken", "BTC-USDC"), ("binance", "USDC-USDT"), ("coinbase", "USDC-USD"),
    ("binance", "BTC-USDT-PERP"), ("okx", "ETH-USDT"), ("binance", "ETH-USDT"),
])  # fmt: skip
FIELDS = (
    "time_us", "interval", "buy", "sell", "buy_age_us", "sell_age_us", "buy_price", "sell_price",
    "conversion_rate", "gross_bps", "fees_bps",
)  # fmt: skip


def fresh(listed, max_age_us=MAX_AGE_US):
    universe, _ = build_universe(listed)
    n = len(listed)
    return IndicativeSpreads(
        universe, max_age_us, np.full((2, n), np.nan), np.full((2, n), NO_CLOSE_US)
    )


def rows_of(fold, bars):
    """Take bars ``(time, interval, instrument, close, volume)``."""
    names = ("time_us", "interval", "instrument", "close", "volume")
    kinds = (np.int64, np.int64, np.int64, np.float64, np.float64)
    values = zip(*bars, strict=True) if bars else [[]] * 5
    out = fold.step({n: np.array(v, k) for n, v, k in zip(names, values, kinds, strict=True)})
    return list(zip(*(out[n].tolist() for n in FIELDS), strict=True))


def plainly(listed, bars):
    """Best net spread a base asset, interval and moment; of equals the first by name."""
    worlds = [plain_spreads.Prices(listed, MAX_AGE_US) for _ in range(2)]
    out = []
    for (now_us, interval), group in groupby(bars, key=lambda b: b[:2]):
        moment, prices = list(group), worlds[interval]
        for _, _, code, close, volume in moment:
            if volume > 0:
                prices.quoted[code] = {"time": now_us, "bid": close, "ask": close}
        for base in dict.fromkeys(listed[b[2]].base for b in moment):
            best = None
            for buy in prices.members(base):
                for sell in prices.members(base):
                    found = prices.spread(buy, sell, now_us)
                    if found and (best is None or found[1] - found[2] > best[0]):
                        best = found[1] - found[2], buy, sell, found
            if best:
                _, buy, sell, (rate, gross, fees, *_) = best
                quoted = prices.quoted
                ages = (now_us - quoted[buy]["time"], now_us - quoted[sell]["time"])
                closes = (quoted[buy]["ask"], quoted[sell]["bid"])
                out.append((now_us, interval, buy, sell, *ages, *closes, rate, gross, fees))
    return out


def random_bars(seed):
    rng = np.random.default_rng(seed)
    levels = {"BTC": 95_000.0, "ETH": 3_000.0, "USDC": 1.0}
    keys = sorted(
        {
            (T0 + int(m) * MINUTE_US, int(k), int(c))
            for m, k, c in zip(
                rng.integers(0, 40, 300), rng.integers(0, 2, 300),
                rng.integers(0, len(NAMES), 300), strict=True,
            )
        }
    )  # fmt: skip
    return [
        (t, k, c, levels[NAMES[c][1].split("-")[0]] * float(np.exp(rng.normal(scale=5e-3))),
         float(rng.choice([0.0, 2.0], p=[0.2, 0.8])))
        for t, k, c in keys
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_random_closes_give_what_a_plain_recomputation_gives(seed):
    listed = [with_fee(resolve(*name), 1.0 + i) for i, name in enumerate(NAMES)]
    bars = random_bars(seed)
    expected = plainly(listed, bars)
    found = rows_of(fresh(listed), bars)
    assert len(expected) > 40
    assert [row[:6] for row in found] == [row[:6] for row in expected]
    np.testing.assert_allclose(
        [r[6:] for r in found], [r[6:] for r in expected], rtol=1e-12, atol=1e-9
    )
    bases = [listed[row[2]].base for row in found]
    keys = list(zip(bases, *zip(*[row[:2] for row in found], strict=True), strict=True))
    assert len(set(keys)) == len(keys), "one row a base asset, interval and moment"


@pytest.mark.parametrize("seed", range(3))
def test_cut_between_moments_it_gives_the_same(seed):
    listed = [resolve(*name) for name in NAMES]
    bars = random_bars(seed)
    expected = rows_of(fresh(listed), bars)
    fold, found = fresh(listed), []
    for _, group in groupby(bars, key=lambda b: b[:2]):
        found += rows_of(fold, list(group))
        fold = IndicativeSpreads(
            fold.universe, MAX_AGE_US, fold.close.copy(), fold.close_time_us.copy()
        )
    assert found == expected


def test_a_bar_without_volume_leaves_the_close_before_it():
    listed = [with_fee(resolve(v, "BTC-USDT"), 1.0) for v in ("binance", "okx")]
    bars = [(T0, 0, 0, 100.0, 1.0), (T0, 0, 1, 101.0, 1.0), (T0 + 1, 0, 0, 50.0, 0.0)]
    first, second = rows_of(fresh(listed), bars)
    # Buy at 100, sell at 101: 100 bps less two fees of one.
    assert first[:6] == (T0, 0, 0, 1, 0, 0)
    assert first[9] == pytest.approx(100.0, rel=1e-12)
    assert first[10] == 2.0
    assert second[:6] == (T0 + 1, 0, 0, 1, 1, 1)
    assert second[6:8] == (100.0, 101.0)


def test_an_old_close_is_not_shown():
    listed = [resolve(v, "BTC-USDT") for v in ("binance", "okx")]
    for age, count in ((MAX_AGE_US, 1), (MAX_AGE_US + 1, 0)):
        bars = [(T0, 0, 0, 100.0, 1.0), (T0 + age, 0, 1, 101.0, 1.0)]
        assert len(rows_of(fresh(listed), bars)) == count


def test_intervals_do_not_see_each_other():
    listed = [resolve(v, "BTC-USDT") for v in ("binance", "okx")]
    assert not rows_of(fresh(listed), [(T0, 0, 0, 100.0, 1.0), (T0, 1, 1, 101.0, 1.0)])
    assert not rows_of(fresh(listed), [])
