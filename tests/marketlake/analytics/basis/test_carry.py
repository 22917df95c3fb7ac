"""Basis against a plain recomputation, by hand, and over recorded ticks."""

from __future__ import annotations

import bisect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.basis.carry import (
    Basis,
    annualised_carry,
    basis_pairs,
    in_base,
    new_clock,
)
from marketlake.analytics.depth.market import empty_market, top_rows
from marketlake.analytics.spreads.universe import build_universe
from marketlake.contracts.instruments import resolve
from marketlake.contracts.venues import VENUES

T0, SECOND_US = 1_736_949_600_000_000, 1_000_000
MAX_AGE_US = 2 * SECOND_US
NAMES = sorted([
    ("binance", "BTC-USDT"), ("binance", "BTC-USDC"), ("binance", "BTC-USDT-PERP"),
    ("binance", "BTC-USD-PERP"), ("kraken", "BTC-USD"), ("kraken", "BTC-USD-PERP"),
    ("kraken", "USDT-USD"), ("binance", "USDC-USDT"), ("okx", "BTC-USDT"),
    ("deribit", "BTC-USD-PERP"), ("okx", "ETH-USDT"), ("okx", "ETH-USDT-PERP"),
])  # fmt: skip
PRICE = {"BTC": 95_000.0, "ETH": 2_850.0, "USDC": 1.0, "USDT": 1.0}


def fresh(names=NAMES, interval_us=SECOND_US):
    listed = [resolve(*name) for name in names]
    universe, _ = build_universe(listed)
    return listed, Basis(
        universe, basis_pairs(listed), interval_us, MAX_AGE_US, empty_market(len(listed), 1),
        new_clock(),
    )  # fmt: skip


def rows_of(quotes):
    """Rows of ``(time, code, bid, bid size, ask, ask size)``."""
    names = ("time_us", "instrument", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
    kinds = (np.int64, np.int64, *[np.float64] * 4)
    values = zip(*quotes, strict=True) if quotes else [[]] * 6
    columns = {n: np.array(v, k) for n, v, k in zip(names, values, kinds, strict=True)}
    return top_rows(columns, 1)


FIELDS = (
    "time_us", "spot", "perp", "oldest_age_us", "spot_price", "perp_price", "conversion_rate",
    "basis_bps", "annualised_carry", "spot_quantity", "perp_quantity",
)  # fmt: skip


def listed_rows(out):
    return list(zip(*(out[n].tolist() for n in FIELDS), strict=True))


def random_quotes(seed, n, listed):
    rng = np.random.default_rng(seed)
    quotes, time_us = [], T0 + 300_000
    for _ in range(n):
        time_us += int(
            rng.choice([0, 1, 70_000, 700_000, 9_000_000], p=[0.3, 0.1, 0.5, 0.08, 0.02])
        )
        code = int(rng.integers(len(listed)))
        mid, half = PRICE[listed[code].base] * np.exp(rng.normal(scale=1e-3)), 1e-4
        bid = np.nan if rng.random() < 0.03 else float(mid * (1 - half))
        sizes = rng.choice([0.1, 5.0], 2).tolist()
        quotes.append((time_us, code, bid, sizes[0], float(mid * (1 + half)), sizes[1]))
    return quotes


def plain_rate(listed, last, sold, bought, near, now_us):
    """Mid conversion of the freshest at the venue, else anywhere; one step between at the most."""

    def direct(one, other):
        found = []
        for code, i in enumerate(listed):
            if code not in last or i.market == "perp" or now_us - last[code][0] > MAX_AGE_US:
                continue
            mid = (last[code][2] + last[code][4]) / 2
            if {i.base, i.quote} == {one, other} and not math.isnan(mid):
                rate = mid if i.base == one else 1 / mid
                found.append((i.venue != near, -last[code][0], code, rate))
        return min(found)[-1] if found else None

    if sold == bought:
        return 1.0
    if direct(sold, bought):
        return direct(sold, bought)
    for between in ("USD", "USDC", "USDT"):
        if between not in (sold, bought) and direct(sold, between) and direct(between, bought):
            return direct(sold, between) * direct(between, bought)
    return None


def plainly(listed, quotes, watermark_us):
    """At every full second, from scratch, out of all quotes before it."""
    out, times = [], [q[0] for q in quotes]
    for at_us in range(T0, min(watermark_us, times[-1] + MAX_AGE_US) + 1, SECOND_US):
        if at_us <= times[0]:
            continue
        last = {q[1]: q for q in quotes[: bisect.bisect_left(times, at_us)]}
        for perp, p in enumerate(listed):
            for spot, s in enumerate(listed):
                if (p.market, s.market) != ("perp", "spot"):
                    continue
                if (p.venue, p.base) != (s.venue, s.base) or not {spot, perp} <= last.keys():
                    continue
                oldest = min(last[spot][0], last[perp][0])
                mids = [(last[c][2] + last[c][4]) / 2 for c in (spot, perp)]
                rate = plain_rate(listed, last, p.quote, s.quote, s.venue, at_us)
                if at_us - oldest > MAX_AGE_US or math.isnan(sum(mids)) or not rate:
                    continue
                basis = (mids[1] * rate / mids[0] - 1) * 1e4
                out.append((at_us, spot, perp, at_us - oldest, *mids, rate, basis))
    return out


@pytest.mark.parametrize("seed", range(6))
def test_random_quotes_give_what_every_second_from_scratch_gives(seed):
    listed, fold = fresh()
    quotes = random_quotes(seed, 1_200, listed)
    watermark_us = quotes[-1][0] + 20 * SECOND_US
    expected = plainly(listed, quotes, watermark_us)
    found = listed_rows(fold.step(rows_of(quotes), watermark_us))
    assert [row[:4] for row in found] == [row[:4] for row in expected]
    np.testing.assert_allclose(
        [row[4:8] for row in found], [row[4:8] for row in expected], rtol=1e-12, atol=1e-7
    )
    pairs = {(listed[row[1]].instrument, listed[row[2]].instrument) for row in found}
    assert len(pairs) == 6, "spot in two currencies against two perpetuals, and the others"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 3), cuts=st.lists(st.integers(0, 500), max_size=8), late=st.booleans())
def test_cut_between_moments_with_state_copied_it_gives_the_same(seed, cuts, late):
    listed, whole = fresh()
    quotes = random_quotes(seed, 500, listed)
    last_us = quotes[-1][0] + (5 * SECOND_US if late else 1)
    expected = listed_rows(whole.step(rows_of(quotes), last_us))
    _, fold = fresh()
    # A moment is not cut: a watermark lies before or behind all of it.
    starts = [at for at, q in enumerate(quotes) if at == 0 or q[0] > quotes[at - 1][0]]
    found, before = [], 0
    for cut in [*sorted(starts[min(c, len(starts) - 1)] for c in cuts), len(quotes)]:
        watermark_us = quotes[cut][0] if cut < len(quotes) else last_us
        found += listed_rows(fold.step(rows_of(quotes[before:cut]), watermark_us))
        before = cut
        fold = Basis(
            fold.universe, fold.pairs, fold.interval_us, fold.max_age_us, fold.market.copy(),
            fold.clock.copy(),
        )  # fmt: skip
    np.testing.assert_equal(found, expected)
    assert fold.clock.tolist() == whole.clock.tolist()


def test_an_inverse_contract_is_compared_in_base_units():
    names = [("binance", "BTC-USD-PERP"), ("binance", "BTC-USDT"), ("kraken", "USDT-USD")]
    listed, fold = fresh(names)
    assert [i.contract_currency for i in listed] == ["quote", "base", "base"]
    quotes = [
        (T0 + 1, 0, 100_100.0, 500.0, 100_300.0, 900.0), (T0 + 1, 1, 99_990.0, 3.0, 100_010.0, 2.0),
        (T0 + 1, 2, 0.999, 1.0, 1.001, 1.0),
    ]  # fmt: skip
    [row] = listed_rows(fold.step(rows_of(quotes), T0 + SECOND_US))
    assert row[:4] == (T0 + SECOND_US, 1, 0, SECOND_US - 1)
    assert row[4:7] == (100_000.0, 100_200.0, 1.0)
    assert row[7] == pytest.approx(20.0, rel=1e-12)
    # The perpetual is dearer: spot is bought, 500 contracts of 100 dollars are sold at the bid.
    assert row[9] == 2.0
    assert row[10] == 500 * 100.0 / 100_100.0


def test_contracts_in_base():
    assert in_base(3.0, 50_000.0, 0.01, False) == 0.03
    assert in_base(3.0, 50_000.0, 100.0, True) == 300.0 / 50_000.0


@pytest.mark.parametrize(
    ("basis_bps", "funding_bps"),
    [
        # Interest 1 bp, damper 5 bps: from -4 to 6 bps the interest is all there is.
        (0.0, 1.0), (6.0, 1.0), (-4.0, 1.0), (10.0, 5.0), (-20.0, -15.0),
    ],
)  # fmt: skip
def test_carry_is_three_fundings_a_day(basis_bps, funding_bps):
    f = VENUES["binance"].funding
    found = annualised_carry(basis_bps / 1e4, f.hours, f.interest_bps / 1e4, f.damper_bps / 1e4)
    assert found == pytest.approx(funding_bps / 1e4 * 3 * 365, rel=1e-12)


def test_without_a_formula_there_is_no_carry_but_a_basis():
    names = [("kraken", "BTC-USD"), ("kraken", "BTC-USD-PERP")]
    assert VENUES["kraken"].funding is None
    _, fold = fresh(names)
    quotes = [(T0 + 1, 0, 99.0, 1.0, 101.0, 1.0), (T0 + 1, 1, 100.0, 1.0, 102.0, 1.0)]
    [row] = listed_rows(fold.step(rows_of(quotes), T0 + SECOND_US))
    assert row[7] == pytest.approx(100.0, rel=1e-12)
    assert math.isnan(row[8])


def test_a_row_knows_nothing_from_its_end_on():
    names = [("kraken", "BTC-USD"), ("kraken", "BTC-USD-PERP")]
    _, fold = fresh(names)
    quotes = [
        (T0 + 1, 0, 99.0, 1.0, 101.0, 1.0), (T0 + 1, 1, 100.0, 1.0, 102.0, 1.0),
        (T0 + SECOND_US, 1, 200.0, 1.0, 202.0, 1.0),
    ]  # fmt: skip
    rows = listed_rows(fold.step(rows_of(quotes), T0 + SECOND_US + 1))
    assert [(row[0], row[5]) for row in rows] == [(T0 + SECOND_US, 101.0)]


def test_perpetuals_without_spot_at_their_venue_have_no_basis():
    listed = [resolve(*name) for name in [("deribit", "BTC-USD-PERP"), ("kraken", "BTC-USD")]]
    assert basis_pairs(listed).spot.size == 0
    mine = [("kraken", "BTC-USD"), ("kraken", "BTC-USD-PERP")]
    listed = [resolve(*name) for name in mine]
    assert basis_pairs(listed).spot.size == 1
    assert basis_pairs(listed, lambda base: base != "BTC").spot.size == 0
