"""Opportunities against a plain recomputation over random quotes, and by hand."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from marketlake.analytics.depth.market import empty_market, top_rows
from marketlake.analytics.depth.opportunity import STATUS
from marketlake.analytics.depth.terms import Terms
from marketlake.analytics.spreads.executable import ExecutableSpreads
from marketlake.analytics.spreads.pair import PAIR_WIDTH
from marketlake.analytics.spreads.universe import build_universe
from marketlake.contracts.instruments import resolve, with_fee

from . import plain_spreads

T0 = 1_736_949_600_000_000
MAX_AGE_US = 2_000_000
NAMES = sorted([
    ("binance", "BTC-USDT"), ("binance", "BTC-USDC"), ("okx", "BTC-USDT"), ("coinbase", "BTC-USD"),
    ("kraken", "BTC-USD"), ("kraken", "BTC-USDC"), ("bybit", "BTC-USDT"),
    ("binance", "USDC-USDT"), ("coinbase", "USDC-USD"), ("kraken", "USDT-USD"),
    ("kraken", "USDC-USD"), ("binance", "BTC-USDT-PERP"), ("okx", "BTC-USDT-PERP"),
    ("okx", "ETH-USDT"), ("binance", "ETH-USDT"), ("okx", "ETH-BTC"), ("binance", "ETH-BTC"),
])  # fmt: skip
PRICE = {"BTC-BTC": 1.0, "ETH-BTC": 0.03, "BTC": 95_000.0, "ETH": 2_850.0, "USDC": 1.0, "USDT": 1.0}


def instruments(fee_bps=2.0, names=NAMES):
    return [with_fee(resolve(*name), fee_bps) for name in names]


def fresh(listed, *, min_net_bps=0.0, min_notional=10.0, max_age_us=MAX_AGE_US):
    universe, _ = build_universe(listed)
    n = len(listed)
    pairs = int((np.diff(universe.member_start) ** 2).sum())
    terms = Terms(
        max_age_us, 10**9, min_net_bps, 0.0, 0.0, np.full(n, min_notional), np.zeros(n), np.zeros(n)
    )
    return ExecutableSpreads(universe, terms, empty_market(n, 3), np.zeros((pairs, PAIR_WIDTH)))


def columns(quotes):
    """Columns of ``(time, code, bid, bid size, ask, ask size)``."""
    names = ("time_us", "instrument", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
    kinds = (np.int64, np.int64, *[np.float64] * 4)
    values = zip(*quotes, strict=True) if quotes else [[]] * 6
    return top_rows({n: np.array(v, k) for n, v, k in zip(names, values, kinds, strict=True)}, 3)


FIELDS = (
    "time_us", "status", "buy", "sell", "buy_age_us", "sell_age_us", "since_us", "buy_price",
    "sell_price", "conversion_rate", "gross_bps", "fees_bps", "quantity",
)  # fmt: skip


def listed_rows(out):
    rows = zip(*(out[n].tolist() for n in FIELDS), strict=True)
    return [(row[0], STATUS[row[1]], *row[2:]) for row in rows]


def random_quotes(seed, n, listed):
    rng = np.random.default_rng(seed)
    quotes, time_us = [], T0
    for _ in range(n):
        # Many moments hold several quotes; at times all is silent for long.
        time_us += int(
            rng.choice([0, 1, 100_000, 900_000, 3_000_000], p=[0.4, 0.1, 0.4, 0.05, 0.05])
        )
        code = int(rng.integers(len(listed)))
        name = listed[code].instrument
        level = PRICE[name if name == "ETH-BTC" else listed[code].base]
        mid, half = level * np.exp(rng.normal(scale=8e-4)), rng.choice([0.0, 1e-4, 3e-4])
        sizes = rng.choice([1e-5, 0.5, 7.0], 2).tolist()
        bid, ask = float(mid * (1 - half)), float(mid * (1 + half))
        side = rng.random()
        quotes.append((
            time_us, code, np.nan if side < 0.04 else bid, sizes[0],
            np.nan if 0.04 < side < 0.08 else ask, sizes[1],
        ))  # fmt: skip
    return quotes


def plainly(listed, quotes, watermark_us, min_net_bps, min_notional):
    prices = plain_spreads.Prices(listed, MAX_AGE_US)
    hunter = plain_spreads.Hunter(prices, min_net_bps, min_notional)
    for now_us, moment in groupby(quotes, key=lambda q: q[0]):
        hunter.moment(now_us, [q[1:] for q in moment])
    hunter.expire(watermark_us)
    return sorted(hunter.rows)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("min_net_bps", "min_notional"), [(0.0, 10.0), (4.0, 5_000.0)])
def test_random_quotes_give_what_a_plain_recomputation_gives(seed, min_net_bps, min_notional):
    listed = instruments()
    quotes = random_quotes(seed, 1_500, listed)
    # One moment holds a code once: of two quotes the later stands, in both computations.
    watermark_us = quotes[-1][0] + 10 * MAX_AGE_US
    expected = plainly(listed, quotes, watermark_us, min_net_bps, min_notional)
    fold = fresh(listed, min_net_bps=min_net_bps, min_notional=min_notional)
    found = sorted(listed_rows(fold.step(columns(quotes), watermark_us)))
    assert [row[:7] for row in found] == [row[:7] for row in expected]
    np.testing.assert_allclose(
        [row[7:] for row in found], [row[7:] for row in expected], rtol=1e-12, atol=1e-7
    )
    statuses = {row[1] for row in found}
    assert statuses == {"open", "update", "close"}
    ids = [(row[0], row[2], row[3], row[6]) for row in found]
    assert len(set(ids)) == len(ids), "one row a moment and opportunity"
    perps = {c for c, i in enumerate(listed) if i.market == "perp"}
    assert not perps & {code for row in found for code in row[2:4]}
    assert not any(listed[row[2]].venue == listed[row[3]].venue for row in found)
    assert not (fold.pairs[:, 0] > 0).any()


@pytest.mark.parametrize("seed", range(3))
def test_an_opportunity_opens_once_and_closes_once(seed):
    listed = instruments()
    quotes = random_quotes(seed + 50, 1_500, listed)
    rows = listed_rows(fresh(listed).step(columns(quotes), quotes[-1][0] + 10 * MAX_AGE_US))
    lives = {}
    for row in sorted(rows, key=lambda r: r[0]):
        lives.setdefault((row[2], row[3], row[6]), []).append(row)
    for (*_, since), life in lives.items():
        statuses = [row[1] for row in life]
        assert statuses == ["open", *["update"] * (len(life) - 2), "close"]
        assert life[0][0] == since
        nets = [row[10] - row[11] for row in life[:-1]]
        assert nets == sorted(set(nets)), "an update is a new peak"


@pytest.mark.parametrize("seed", range(4))
def test_cut_between_moments_with_state_copied_it_gives_the_same(seed):
    listed = instruments()
    quotes = random_quotes(seed, 600, listed)
    moments = [list(m) for _, m in groupby(quotes, key=lambda q: q[0])]
    rng = np.random.default_rng(seed)
    last_us = quotes[-1][0] + 1
    whole = fresh(listed)
    expected = sorted(listed_rows(whole.step(columns(quotes), last_us)))
    fold, found, at = fresh(listed), [], 0
    while at < len(moments):
        size = int(rng.integers(1, 40))
        part = [q for moment in moments[at : at + size] for q in moment]
        at += size
        watermark_us = moments[at][0][0] if at < len(moments) else last_us
        found += listed_rows(fold.step(columns(part), watermark_us))
        fold = ExecutableSpreads(fold.universe, fold.terms, fold.market.copy(), fold.pairs.copy())
    assert sorted(found) == expected
    np.testing.assert_array_equal(fold.pairs[:, 0], whole.pairs[:, 0])
    for mine, theirs in zip(fold.market, whole.market, strict=True):
        np.testing.assert_array_equal(mine, theirs)


TWO = [("binance", "BTC-USDT"), ("okx", "BTC-USDT")]
BUY, SELL = 0, 1


def two(quotes, watermark_us=T0, **limits):
    return listed_rows(fresh(instruments(10.0, TWO), **limits).step(columns(quotes), watermark_us))


def test_gross_fees_and_quantity_by_hand():
    quotes = [(T0, BUY, 99.0, 1.0, 100.0, 3.0), (T0 + 5, SELL, 101.0, 2.0, 102.0, 9.0)]
    # Buy 2 at 100, sell them at 101: 100 bps, less 10 bps on each side.
    [row] = two(quotes)
    assert row[:7] == (T0 + 5, "open", BUY, SELL, 5, 0, T0 + 5)
    assert row[7:10] == (100.0, 101.0, 1.0)
    assert row[10] == pytest.approx(100.0, rel=1e-12)
    assert row[11:] == (20.0, 2.0)


def test_it_opens_strictly_above_the_minimum_net_and_from_the_minimum_notional_on():
    quotes = [(T0, BUY, 99.0, 1.0, 100.0, 2.0), (T0, SELL, 101.0, 2.0, 102.0, 9.0)]
    gross = (101.0 / 100.0 - 1.0) * 1e4
    assert not two(quotes, min_net_bps=gross - 20.0)
    assert two(quotes, min_net_bps=gross - 20.0 - 1e-9)
    assert two(quotes, min_notional=200.0)
    assert not two(quotes, min_notional=200.000_1)


def test_it_closes_when_either_quote_expires_at_the_moment_of_expiry():
    quotes = [(T0, BUY, 99.0, 1.0, 100.0, 2.0), (T0 + 500_000, SELL, 101.0, 2.0, 102.0, 9.0)]
    expiry = T0 + MAX_AGE_US
    assert [r[:2] for r in two(quotes, expiry)] == [(T0 + 500_000, "open")]
    rows = two(quotes, expiry + 1)
    assert rows[1][:7] == (expiry + 1, "close", BUY, SELL, MAX_AGE_US + 1, 1_500_001, T0 + 500_000)
    # A refresh of the younger quote does not save it; later rows find it closed at that moment.
    later = [*quotes, (expiry + 700_000, SELL, 101.0, 2.0, 102.0, 9.0)]
    assert [r[:2] for r in two(later, T0)] == [(T0 + 500_000, "open"), (expiry + 1, "close")]


def test_a_quote_at_its_age_limit_still_counts():
    quotes = [(T0, BUY, 99.0, 1.0, 100.0, 2.0), (T0 + MAX_AGE_US, SELL, 101.0, 2.0, 102.0, 9.0)]
    assert [r[1] for r in two(quotes)] == ["open"]
    quotes[1] = (T0 + MAX_AGE_US + 1, *quotes[1][1:])
    assert not two(quotes)


def test_after_expiry_a_fresh_quote_at_that_very_moment_opens_another_one():
    moment = T0 + MAX_AGE_US + 1
    quotes = [
        (T0, BUY, 99.0, 1.0, 100.0, 2.0), (T0, SELL, 101.0, 2.0, 102.0, 9.0),
        (moment, BUY, 99.0, 1.0, 100.0, 2.0), (moment, SELL, 101.0, 2.0, 102.0, 9.0),
    ]  # fmt: skip
    rows = two(quotes, moment)
    assert [(r[0], r[1], r[6]) for r in rows] == [
        (T0, "open", T0), (moment, "close", T0), (moment, "open", moment),
    ]  # fmt: skip


def test_all_quotes_of_a_moment_count_before_any_pair_is_priced():
    # In between, the old ask would pay against the new bid.
    quotes = [
        (T0, BUY, 99.0, 1.0, 100.0, 2.0), (T0, SELL, 99.0, 2.0, 102.0, 9.0),
        (T0 + 9, SELL, 110.0, 2.0, 111.0, 9.0), (T0 + 9, BUY, 109.5, 1.0, 110.0, 2.0),
    ]  # fmt: skip
    assert not two(quotes)


def test_an_update_is_a_new_peak_and_the_close_shows_what_ended_it():
    quotes = [
        (T0, BUY, 99.0, 1.0, 100.0, 2.0), (T0, SELL, 101.0, 2.0, 102.0, 9.0),
        (T0 + 1, SELL, 100.9, 2.0, 102.0, 9.0), (T0 + 2, SELL, 101.5, 1.0, 102.0, 9.0),
        (T0 + 3, SELL, 100.1, 2.0, 102.0, 9.0),
    ]  # fmt: skip
    rows = two(quotes)
    assert [(r[0], r[1]) for r in rows] == [(T0, "open"), (T0 + 2, "update"), (T0 + 3, "close")]
    assert [r[8] for r in rows] == [101.0, 101.5, 100.1]
    assert rows[1][12] == 1.0


def test_a_moment_with_more_rows_than_the_first_buffer_holds():
    venues = [
        "binance", "okx", "bybit", "kraken", "coinbase", "huobi", "kucoin", "gateio", "bitfinex",
        "bitstamp", "gemini", "mexc", "bitget", "poloniex", "phemex", "whitebit", "lbank", "bingx",
    ]  # fmt: skip
    listed = instruments(0.0, sorted((v, "BTC-USDT") for v in venues))
    n = len(listed)
    # Each venue asks less than every other bids, and repeats itself to need a larger buffer.
    quotes = [(T0, c, 200.0 + c, 1.0, 100.0 + c, 1.0) for c in range(n)] * 12
    rows = listed_rows(fresh(listed).step(columns(quotes), T0))
    assert len(rows) == n * (n - 1)
    assert {r[1] for r in rows} == {"open"}
