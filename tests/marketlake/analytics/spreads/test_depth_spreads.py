"""Opportunities through depth, with every cost: each pair at each moment, from scratch."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
import pytest

from marketlake.analytics.depth.market import NO_TRANSIT_US, empty_market, top_rows
from marketlake.analytics.depth.opportunity import STATUS
from marketlake.analytics.depth.terms import Terms
from marketlake.analytics.spreads.executable import ExecutableSpreads
from marketlake.analytics.spreads.pair import PAIR_WIDTH
from marketlake.analytics.spreads.universe import build_universe
from marketlake.contracts.instruments import resolve, with_fee
from tests.marketlake.analytics.depth import plain_walk

from . import plain_spreads

T0, MAX_AGE_US, SKEW_US, DEPTH = 1_736_949_600_000_000, 2_000_000, 400_000, 4
NAMES = sorted([
    ("binance", "BTC-USDT"), ("okx", "BTC-USDT"), ("coinbase", "BTC-USD"), ("kraken", "BTC-USD"),
    ("kraken", "BTC-USDC"), ("binance", "USDC-USDT"), ("kraken", "USDT-USD"),
    ("kraken", "USDC-USD"), ("binance", "BTC-USDT-PERP"),
])  # fmt: skip
DOLLARS = {"BTC": 95_000.0}


def instruments():
    return [with_fee(resolve(*name), 1.0 + 0.1 * place) for place, name in enumerate(NAMES)]


def terms_of(listed, **changed):
    n = len(listed)
    withdrawal = {"BTC": 1e-5, "USD": 1.0, "USDT": 0.5}
    values = {
        "max_age_us": MAX_AGE_US, "max_skew_us": SKEW_US, "min_net_bps": 0.5, "slippage_bps": 0.3,
        "transfer_bps": 0.7, "min_notional": np.full(n, 2_000.0),
        "base_withdrawal": np.array([withdrawal.get(i.base, 0.0) for i in listed]),
        "quote_withdrawal": np.array([withdrawal.get(i.quote, 0.0) for i in listed]),
    }  # fmt: skip
    assert n == len(NAMES)
    return Terms(**{**values, **changed})


def fresh(listed, terms):
    universe, _ = build_universe(listed)
    pairs = int((np.diff(universe.member_start) ** 2).sum())
    market = empty_market(len(listed), DEPTH).with_levels()
    return ExecutableSpreads(universe, terms, market, np.zeros((pairs, PAIR_WIDTH)))


def rows_of(events):
    """Rows of ``(time, code, bids, asks, transit, is a book)``."""
    best = [[*(e[2][0] if e[2] else (np.nan,) * 2), *(e[3][0] if e[3] else (np.nan,) * 2)]
            for e in events]  # fmt: skip
    levels, book = [], []
    for _, _, bids, asks, _, is_book in events:
        book.append(len(levels) if is_book else -1)
        if is_book:
            matrix = np.full((4, DEPTH), np.nan)
            for at, side in ((0, bids), (2, asks)):
                matrix[at : at + 2, : len(side)] = np.array(side).reshape(-1, 2).T
            levels.append(matrix)
    names = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
    columns = dict(zip(names, np.array(best).reshape(-1, 4).T.copy(), strict=True))
    columns |= {
        "time_us": np.array([e[0] for e in events]),
        "instrument": np.array([e[1] for e in events]),
        "transit_us": np.array([e[4] for e in events]), "book": np.array(book),
        "levels": np.array(levels).reshape(-1, 4, DEPTH),
    }  # fmt: skip
    return top_rows(columns, DEPTH)


class DepthHunter:
    """Opportunities through depth, nothing carried from moment to moment but what is open."""

    def __init__(self, listed, terms):
        self.listed, self.terms = listed, terms
        self.prices = plain_spreads.Prices(listed, terms.max_age_us)
        self.books, self.transit, self.open, self.rows = {}, {}, {}, []

    def row(self, pair, status, now_us):
        kept = self.open[pair]
        ages = tuple(now_us - self.prices.quoted[c]["time"] for c in pair)
        life = kept["peak"], kept["capacity"], kept["capacity_notional"]
        self.rows.append((now_us, status, *pair, *ages, kept["since"], *kept["figures"], *life))

    def expire(self, before_us):
        for pair in sorted(self.open):
            expiry = min(self.prices.quoted[c]["time"] for c in pair) + self.terms.max_age_us
            if expiry < before_us:
                self.row(pair, "close", expiry + 1)
                del self.open[pair]

    def moment(self, now_us, events):
        self.expire(now_us)
        for code, bids, asks, transit_us, is_book in events:
            bid, ask = bids[0] if bids else (math.nan,) * 2, asks[0] if asks else (math.nan,) * 2
            self.prices.quoted[code] = {
                "time": now_us, "bid": bid[0], "bid_size": bid[1], "ask": ask[0], "ask_size": ask[1]
            }  # fmt: skip
            self.transit[code] = transit_us
            if is_book:
                self.books[code] = now_us, bids, asks
        # A pair is looked at when one of its two has news; the way money is changed is not enough.
        fresh_codes = {code for code, *_ in events}
        for buy in range(len(self.listed)):
            for sell in range(len(self.listed)):
                one, two = self.listed[buy], self.listed[sell]
                if "perp" in (one.market, two.market) or one.base != two.base or buy == sell:
                    continue
                if {buy, sell} & fresh_codes:
                    self.judge((buy, sell), now_us)

    def levels(self, leg, now_us):
        """The best price, and what stands behind it in the last book while that is fresh."""
        code, side = leg
        quote = self.prices.quoted[code]
        top = (
            (quote["bid"], quote["bid_size"])
            if side == "sell"
            else (quote["ask"], quote["ask_size"])
        )
        behind = []
        if code in self.books and now_us - self.books[code][0] <= self.terms.max_age_us:
            _, bids, asks = self.books[code]
            if side == "sell":
                behind = [level for level in bids if level[0] < top[0]]
            else:
                behind = [level for level in asks if level[0] > top[0]]
        return side, [top, *behind]

    def judge(self, pair, now_us):
        buy, sell = pair
        found = self.prices.spread(buy, sell, now_us)
        pays = False
        if found is not None:
            pays, figures, notional = self.measure(buy, sell, found, now_us)
            if pair in self.open:
                self.open[pair]["figures"] = figures
            net, quantity = figures[3] - figures[4] - figures[5], figures[6]
        if pair in self.open:
            kept = self.open[pair]
            if not pays:
                self.row(pair, "close", now_us)
                del self.open[pair]
                return
            if quantity > kept["capacity"]:
                kept["capacity"], kept["capacity_notional"] = quantity, notional
            if net > kept["peak"]:
                kept["peak"] = net
                self.row(pair, "update", now_us)
        elif pays:
            self.open[pair] = {
                "since": now_us, "peak": net, "capacity": quantity, "capacity_notional": notional,
                "figures": figures,
            }  # fmt: skip
            self.row(pair, "open", now_us)

    def measure(self, buy, sell, found, now_us):
        rate, gross, fees, takes, conversion = found
        legs = [(buy, "buy"), (sell, "sell"), *conversion]
        costs = self.terms.transfer_bps + self.terms.slippage_bps * len(legs)
        books = [self.levels(leg, now_us) for leg in legs]
        spent, out = plain_walk.walk(books, fees + costs, self.terms.min_net_bps)
        ask, bid = books[0][1][0], books[1][1][0]
        buy_price, sell_price = ask[0], bid[0]
        quantity = min(ask[1], bid[1], takes / bid[0])
        if spent > 0:
            quantity, buy_price, sell_price = out[0], spent / out[0], out[1] / out[0]
            rate, gross = out[-1] / out[1], (out[-1] / spent - 1) * 1e4
        notional = quantity * buy_price
        sent = (
            self.terms.base_withdrawal[buy] * buy_price + self.terms.quote_withdrawal[sell] * rate
        )
        costs += sent / notional * 1e4
        transits = [self.transit[c] for c, _ in legs if self.transit[c] != NO_TRANSIT_US]
        agree = not transits or max(transits) - min(transits) <= self.terms.max_skew_us
        pays = spent > 0 and agree and gross - fees - costs > self.terms.min_net_bps
        pays = pays and notional >= self.terms.min_notional[buy]
        return pays, (buy_price, sell_price, rate, gross, fees, costs, quantity), notional


FIELDS = (
    "time_us", "status", "buy", "sell", "buy_age_us", "sell_age_us", "since_us", "buy_price",
    "sell_price", "conversion_rate", "gross_bps", "fees_bps", "costs_bps", "quantity",
    "peak_net_bps", "capacity", "capacity_notional",
)  # fmt: skip


def listed_rows(out):
    rows = zip(*(out[n].tolist() for n in FIELDS), strict=True)
    return sorted((row[0], STATUS[row[1]], *row[2:]) for row in rows)


def random_events(seed, n, listed):
    rng = np.random.default_rng(seed)
    events, time_us = [], T0
    for _ in range(n):
        time_us += int(
            rng.choice([0, 1, 60_000, 900_000, 3_000_000], p=[0.2, 0.1, 0.6, 0.08, 0.02])
        )
        code = int(rng.integers(len(listed)))
        level = DOLLARS.get(listed[code].base, 1.0)
        mid, half = level * np.exp(rng.normal(scale=5e-4)), rng.choice([2e-5, 2e-4])
        is_book = bool(rng.random() < 0.4)
        sides = []
        for sign in (-1, 1):
            steps = np.cumsum(np.r_[half, rng.uniform(1e-5, 3e-4, DEPTH - 1)])
            sizes = rng.choice([500.0, 4_000.0, 60_000.0], DEPTH) / level
            count = int(rng.integers(0, DEPTH + 1)) if is_book else 1
            sides.append([
                (float(mid * (1 + sign * step)), float(size))
                for step, size in zip(steps[:count], sizes, strict=False)
            ])  # fmt: skip
        if not any(sides):
            continue
        transit_us = int(
            rng.choice([1_000, 50_000, 500_000, NO_TRANSIT_US], p=[0.5, 0.35, 0.1, 0.05])
        )
        events.append((time_us, code, *sides, transit_us, is_book))
    return events


@pytest.mark.parametrize("seed", range(8))
def test_random_books_give_what_every_pair_at_every_moment_gives(seed):
    listed = instruments()
    terms, events = terms_of(listed), random_events(seed, 700, listed)
    hunter = DepthHunter(listed, terms)
    for now_us, moment in groupby(events, key=lambda e: e[0]):
        hunter.moment(now_us, [e[1:] for e in moment])
    watermark_us = events[-1][0] + 10 * MAX_AGE_US
    hunter.expire(watermark_us)
    found = listed_rows(fresh(listed, terms).step(rows_of(events), watermark_us))
    expected = sorted(hunter.rows)
    assert [row[:7] for row in found] == [row[:7] for row in expected]
    np.testing.assert_allclose(
        [row[7:] for row in found], [row[7:] for row in expected], rtol=1e-9, atol=1e-6
    )
    assert {row[1] for row in found} >= {"open", "close"}
    assert any(row[9] != 1.0 for row in found), "some are converted"


BUY, SELL = NAMES.index(("binance", "BTC-USDT")), NAMES.index(("okx", "BTC-USDT"))
OUT = {
    "min_net_bps": 0.0, "slippage_bps": 0.0, "transfer_bps": 0.0,
    "min_notional": np.zeros(len(NAMES)), "base_withdrawal": np.zeros(len(NAMES)),
    "quote_withdrawal": np.zeros(len(NAMES)),
}  # fmt: skip
EVENTS = [
    (T0, BUY, [(99.0, 1.0)], [(100.0, 1.0), (100.4, 2.0)], 0, True),
    (T0 + 5, SELL, [(101.0, 2.0), (100.5, 9.0)], [(102.0, 1.0)], 0, True),
]


def one(events=EVENTS, **changed):
    listed = [with_fee(i, 10.0) for i in instruments()]
    terms = terms_of(listed, **{**OUT, **changed})
    out = fresh(listed, terms).step(rows_of(events), T0 + 6)
    return [dict(zip(FIELDS, row, strict=True)) for row in listed_rows(out)]


def test_a_walk_through_both_books_by_hand():
    # 1 at 100 and 1 at 100.4, sold at 101; the next ask of 100.4 against 100.5 leaves 10 bps
    # where both fees are 20.
    [row] = one()
    assert row["quantity"] == row["capacity"] == pytest.approx(2.0, rel=1e-12)
    assert row["buy_price"] == pytest.approx(100.2, rel=1e-12)
    assert row["sell_price"] == pytest.approx(101.0, rel=1e-12)
    assert row["gross_bps"] == pytest.approx((202.0 / 200.4 - 1) * 1e4, rel=1e-9)
    assert (row["fees_bps"], row["costs_bps"]) == (20.0, 0.0)
    assert row["capacity_notional"] == pytest.approx(200.4, rel=1e-12)


def test_the_minimum_notional_may_be_reached_by_depth():
    assert one(min_notional=np.full(len(NAMES), 200.3))
    assert not one(min_notional=np.full(len(NAMES), 200.5))


def test_slippage_counts_a_leg_and_transfer_once():
    [row] = one(slippage_bps=2.0, transfer_bps=3.0)
    assert row["costs_bps"] == 7.0
    # 101 against 100.4 leaves 59.8 bps: 20 of fees and 40 of slippage are too much for it.
    [row] = one(slippage_bps=20.0)
    assert row["quantity"] == 1.0
    assert not one(slippage_bps=40.01)


def test_withdrawals_are_paid_once_whatever_the_size():
    base, quote = np.zeros(len(NAMES)), np.zeros(len(NAMES))
    base[BUY], quote[SELL] = 0.002, 0.3
    [row] = one(base_withdrawal=base, quote_withdrawal=quote)
    assert row["costs_bps"] == pytest.approx((0.002 * 100.2 + 0.3) / 200.4 * 1e4, rel=1e-9)
    quote[SELL] = 1.2
    assert not one(base_withdrawal=base, quote_withdrawal=quote), "more than the 1.2 it brings"


def test_quotes_that_were_not_there_at_one_time_make_no_opportunity():
    skewed = [EVENTS[0], (*EVENTS[1][:4], SKEW_US, True)]
    assert one(skewed)
    skewed = [EVENTS[0], (*EVENTS[1][:4], SKEW_US + 1, True)]
    assert not one(skewed)
    assert one(skewed, max_skew_us=SKEW_US + 1)
