"""Triangles on quotes against a look at every cycle at every moment, and by hand."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.depth.market import empty_market, top_rows
from marketlake.analytics.depth.opportunity import STATUS
from marketlake.analytics.depth.terms import Terms
from marketlake.analytics.triangles.cycles import cycle_arrays, find_cycles
from marketlake.analytics.triangles.executable import CYCLE_WIDTH, ExecutableTriangles
from marketlake.contracts.instruments import resolve, with_fee

from . import plain_triangles

T0, MAX_AGE_US, DEPTH = 1_736_949_600_000_000, 2_000_000, 2
NAMES = sorted([
    ("binance", "BTC-USDT"), ("binance", "BTC-USDC"), ("binance", "USDC-USDT"),
    ("binance", "ETH-USDT"), ("binance", "ETH-BTC"), ("binance", "ETH-USDC"),
    ("kraken", "BTC-USD"), ("kraken", "ETH-USD"), ("kraken", "ETH-BTC"), ("okx", "BTC-USDT"),
    ("binance", "BTC-USDT-PERP"),
])  # fmt: skip
DOLLARS = {"BTC": 95_000.0, "ETH": 2_850.0}
SMALLEST = 25.0


def instruments(fee_bps=1.0, names=NAMES):
    return [with_fee(resolve(*name), fee_bps) for name in sorted(names)]


def fresh(listed, *, min_net_bps=0.0, slippage_bps=0.0, legs=4, smallest=SMALLEST):
    cycles, n = find_cycles(listed, legs), len(listed)
    zero = np.zeros(n)
    terms = Terms(MAX_AGE_US, 10**9, min_net_bps, slippage_bps, 0.0, zero, zero, zero)
    return cycles, ExecutableTriangles(
        cycle_arrays(cycles, listed), terms, np.full(len(cycles), smallest),
        empty_market(n, DEPTH), np.zeros((len(cycles), CYCLE_WIDTH)),
    )  # fmt: skip


def rows_of(quotes):
    """Rows of ``(time, code, bid, bid size, ask, ask size)``."""
    names = ("time_us", "instrument", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
    kinds = (np.int64, np.int64, *[np.float64] * 4)
    values = zip(*quotes, strict=True) if quotes else [[]] * 6
    columns = {n: np.array(v, k) for n, v, k in zip(names, values, kinds, strict=True)}
    return top_rows(columns, DEPTH)


FIELDS = (
    "time_us", "status", "cycle", "oldest_age_us", "since_us", "peak_net_bps", "capacity",
    "gross_bps", "fees_bps", "costs_bps", "quantity",
)  # fmt: skip


def listed_rows(out):
    rows = zip(*(out[n].tolist() for n in FIELDS), strict=True)
    return sorted((row[0], STATUS[row[1]], *row[2:]) for row in rows)


def random_quotes(seed, n, listed):
    rng = np.random.default_rng(seed)
    quotes, time_us = [], T0
    for _ in range(n):
        time_us += int(
            rng.choice([0, 1, 100_000, 900_000, 3_000_000], p=[0.4, 0.1, 0.4, 0.05, 0.05])
        )
        code = int(rng.integers(len(listed)))
        one = listed[code]
        level = DOLLARS.get(one.base, 1.0) / DOLLARS.get(one.quote, 1.0)
        mid, half = level * np.exp(rng.normal(scale=4e-4)), rng.choice([0.0, 1e-4])
        # In dollars, so that every asset is at times too little.
        sizes = (rng.choice([5.0, 1e3, 1e5], 2) / DOLLARS.get(one.base, 1.0)).tolist()
        side = rng.random()
        quotes.append((
            time_us, code, np.nan if side < 0.04 else float(mid * (1 - half)), sizes[0],
            np.nan if 0.04 < side < 0.08 else float(mid * (1 + half)), sizes[1],
        ))  # fmt: skip
    return quotes


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("min_net_bps", "slippage_bps"), [(0.0, 0.0), (2.0, 0.5)])
def test_random_quotes_give_what_a_look_at_everything_gives(seed, min_net_bps, slippage_bps):
    listed = instruments()
    quotes = random_quotes(seed, 1_000, listed)
    cycles, fold = fresh(listed, min_net_bps=min_net_bps, slippage_bps=slippage_bps)
    rounds = {
        c: plain_triangles.Round(listed, one.venue, one.assets[:-1]) for c, one in enumerate(cycles)
    }
    hunter = plain_triangles.Hunter(
        rounds, dict.fromkeys(rounds, SMALLEST), min_net_bps, slippage_bps, MAX_AGE_US
    )
    for now_us, moment in groupby(quotes, key=lambda q: q[0]):
        hunter.moment(now_us, [q[1:] for q in moment])
    watermark_us = quotes[-1][0] + 10 * MAX_AGE_US
    hunter.expire(watermark_us)
    expected, found = sorted(hunter.rows), listed_rows(fold.step(rows_of(quotes), watermark_us))
    assert [row[:5] for row in found] == [row[:5] for row in expected]
    np.testing.assert_allclose(
        [row[5:] for row in found], [row[5:] for row in expected], rtol=1e-11, atol=1e-7
    )
    assert {row[1] for row in found} >= {"open", "close"}
    assert min_net_bps or "update" in {row[1] for row in found}
    assert {cycles[row[2]].venue for row in found} == {"binance", "kraken"}
    assert {len(cycles[row[2]].legs) for row in found} == {3, 4}
    assert not (fold.states[:, 0] > 0).any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_cut_between_moments_with_state_copied_it_gives_the_same(seed, cuts):
    listed = instruments()
    quotes = random_quotes(seed, 400, listed)
    _, whole = fresh(listed)
    last_us = quotes[-1][0] + 1
    expected = listed_rows(whole.step(rows_of(quotes), last_us))
    moments = [list(m) for _, m in groupby(quotes, key=lambda q: q[0])]
    _, fold = fresh(listed)
    found, before = [], 0
    for cut in [*sorted(min(c, len(moments)) for c in cuts), len(moments)]:
        watermark_us = moments[cut][0][0] if cut < len(moments) else last_us
        part = [q for moment in moments[before:cut] for q in moment]
        found += listed_rows(fold.step(rows_of(part), watermark_us))
        before = cut
        fold = ExecutableTriangles(
            fold.cycles, fold.terms, fold.smallest, fold.market.copy(), fold.states.copy()
        )
    assert sorted(found) == expected
    open_now = whole.states[:, 0] > 0
    np.testing.assert_array_equal(fold.states[:, 0] > 0, open_now)
    np.testing.assert_array_equal(fold.states[open_now], whole.states[open_now])


ONE = [("binance", "BTC-USDT"), ("binance", "ETH-BTC"), ("binance", "ETH-USDT")]
BTC, CROSS, ETH = range(3)


def one(quotes, watermark_us=T0, **limits):
    cycles, fold = fresh(instruments(2.0, ONE), **limits)
    rows = listed_rows(fold.step(rows_of(quotes), watermark_us))
    return [(row[0], row[1], cycles[row[2]].text, *row[3:]) for row in rows]


QUOTES = [
    # Buy 0.01 BTC for 1,000, for it 0.2 ETH at 0.05, sell those at 5,100: 1,020.
    (T0, BTC, 99_000.0, 1.0, 100_000.0, 0.01),
    (T0, CROSS, 0.049, 9.0, 0.05, 9.0),
    (T0 + 5, ETH, 5_100.0, 9.0, 5_200.0, 9.0),
]


def test_gross_fees_and_quantity_by_hand():
    [row] = one(QUOTES, slippage_bps=1.0)
    assert row[:5] == (T0 + 5, "open", "USDT>BTC>ETH>USDT", 5, T0 + 5)
    peak, capacity, gross, fees, costs, quantity = row[5:]
    assert gross == pytest.approx(200.0, rel=1e-12)
    assert (fees, costs) == (6.0, 3.0)
    assert peak == pytest.approx(191.0, rel=1e-12)
    assert quantity == capacity == pytest.approx(1_000.0, rel=1e-12)


def test_too_little_is_no_opportunity():
    assert one(QUOTES, smallest=1_000.0 - 1e-9)
    assert not one(QUOTES, smallest=1_000.0 + 1e-9)


def test_the_other_direction():
    quotes = [(T0, BTC, 99_000.0, 1.0, 100_000.0, 1.0), (T0, CROSS, 0.05, 9.0, 0.051, 9.0)]
    [row] = one([*quotes, (T0, ETH, 4_700.0, 1.0, 4_800.0, 0.5)])
    # 4,800 buy one ETH, that is 0.05 BTC, that is 4,950.
    assert row[2] == "USDT>ETH>BTC>USDT"
    assert row[7] == pytest.approx((4_950 / 4_800 - 1) * 1e4, rel=1e-12)
    assert row[10] == pytest.approx(2_400.0, rel=1e-12)


def test_it_closes_at_the_expiry_of_its_oldest_price():
    expiry = T0 + MAX_AGE_US
    rows = one(QUOTES, expiry)
    assert [row[1] for row in rows] == ["open"]
    rows = one(QUOTES, expiry + 1)
    assert [row[:2] for row in rows] == [(T0 + 5, "open"), (expiry + 1, "close")]
    later = [*QUOTES, (expiry + 9, ETH, 5_100.0, 9.0, 5_200.0, 9.0)]
    assert [row[:2] for row in one(later)] == [(T0 + 5, "open"), (expiry + 1, "close")]


def test_a_price_that_is_too_old_makes_none():
    late = [*QUOTES[:2], (T0 + MAX_AGE_US + 1, *QUOTES[2][1:])]
    assert not one(late)
    assert one([*QUOTES[:2], (T0 + MAX_AGE_US, *QUOTES[2][1:])])


def test_more_rows_in_a_moment_than_the_first_buffer_holds():
    bases = [f"C{n}" for n in range(400)]
    names = [("binance", "BTC-USDT")]
    names += [("binance", f"{base}-{quote}") for base in bases for quote in ("BTC", "USDT")]
    listed = instruments(0.0, names)
    cycles, fold = fresh(listed, legs=3)
    assert len(cycles) == 800
    price = {"BTC": 1.0, "USDT": 1.02}
    quotes = [
        (T0, code, p, 1e6, p, 1e6)
        for code, i in enumerate(listed)
        for p in (1.0 if i.base == "BTC" else price[i.quote],)
    ] * 60  # fmt: skip
    assert len(listed_rows(fold.step(rows_of(quotes), T0))) == 400
