"""Walks through several books against an evaluation from scratch, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.depth.market import (
    NO_TRANSIT_US,
    empty_market,
    in_step,
    take_row,
    top_rows,
)
from marketlake.analytics.depth.walk import (
    BUY,
    GOT,
    GROSS,
    REACH,
    SELL,
    SPENT,
    new_walk,
    out_of_leg,
    total,
    walk_chain,
)

from . import plain_walk

T0, AGE = 1_736_949_600_000_000, 2_000_000
DEPTH = 4


def book_row(code, bids, asks, time_us=T0, *, top_only=False):
    """Columns of one quote or book."""
    levels = np.full((1, 4, DEPTH), np.nan)
    for side, rows in ((0, bids), (2, asks)):
        for at, (price, size) in enumerate(rows[:DEPTH]):
            levels[0, side, at], levels[0, side + 1, at] = price, size
    best = [*(bids[0] if bids else (np.nan,) * 2), *(asks[0] if asks else (np.nan,) * 2)]
    names = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
    columns = {n: np.array([v], np.float64) for n, v in zip(names, best, strict=True)}
    columns |= {"time_us": np.array([time_us]), "instrument": np.array([code])}
    if not top_only:
        columns |= {"book": np.array([0]), "levels": levels}
    return top_rows(columns, DEPTH)


def market_of(*rows, size=4):
    market = empty_market(size, DEPTH).with_levels()
    for row in rows:
        take_row(market, row, 0)
    return market


def walked(market, legs, costs_bps=0.0, floor_bps=0.0, now_us=T0):
    walk = new_walk()
    walk.legs[: len(legs)] = legs
    steps = walk_chain(market, walk, len(legs), now_us, AGE, costs_bps, floor_bps)
    return steps, walk


def spent_and_out(market, legs, **limits):
    steps, walk = walked(market, legs, **limits)
    return steps, total(walk, SPENT), [out_of_leg(walk, k) for k in range(len(legs))]


ASKS = [(100.0, 1.0), (100.5, 2.0), (101.5, 4.0), (103.0, 9.0)]
BIDS = [(102.0, 2.0), (101.0, 2.5), (100.2, 5.0)]


def test_two_books_by_hand():
    market = market_of(book_row(0, [(99.0, 1.0)], ASKS), book_row(1, BIDS, [(104.0, 1.0)]))
    # 1 at 100 and 1 at 100.5 against 102; 1 at 100.5 against 101; then 101.5 is above 101.
    steps, spent, out = spent_and_out(market, [2 * 0 + BUY, 2 * 1 + SELL])
    assert steps == 3
    assert spent == pytest.approx(100.0 + 2 * 100.5, rel=1e-15)
    assert out == pytest.approx([3.0, 2 * 102.0 + 101.0], rel=1e-15)


def test_costs_end_the_walk_earlier():
    market = market_of(book_row(0, [(99.0, 1.0)], ASKS), book_row(1, BIDS, [(104.0, 1.0)]))
    # 101 against 100.5 leaves 49.8 bps, 102 against 100.5 149.3, 102 against 100 200.
    legs = [2 * 0 + BUY, 2 * 1 + SELL]
    assert spent_and_out(market, legs, costs_bps=50.0)[1:] == (200.5, [2.0, 204.0])
    assert spent_and_out(market, legs, costs_bps=100.0, floor_bps=50.0)[1:] == (100.0, [1.0, 102.0])
    steps, walk = walked(market, legs, costs_bps=200.001)
    assert (steps, total(walk, SPENT), total(walk, REACH)) == (0, 0.0, 1.0)
    assert total(walk, GROSS) == pytest.approx(200.0, rel=1e-12)


def test_of_an_older_book_only_what_is_worse_than_the_quote_counts():
    asks = [(100.0, 1.0), (100.5, 2.0), (101.5, 4.0)]
    market = market_of(
        book_row(0, [(99.0, 1.0)], asks),
        book_row(0, [(99.0, 1.0)], [(100.5, 0.25)], T0 + 1, top_only=True),
        book_row(1, [(102.0, 50.0)], [(104.0, 1.0)], T0 + 1),
    )
    legs = [2 * 0 + BUY, 2 * 1 + SELL]
    # 0.25 at 100.5 as the quote has it, then the 4 at 101.5; what was better is gone.
    _, spent, out = spent_and_out(market, legs, now_us=T0 + 1)
    assert (spent, out[0]) == (0.25 * 100.5 + 4 * 101.5, 4.25)
    # Too old, the book says nothing, though the quotes are fresh.
    assert spent_and_out(market, legs, now_us=T0 + AGE)[1] == spent
    assert spent_and_out(market, legs, now_us=T0 + AGE + 1)[1] == 0.25 * 100.5


def test_a_converter_limits_the_quantity():
    # Bought for tether, sold for dollars; 150 tether are on offer for dollars at 1.0.
    market = market_of(
        book_row(0, [(99.0, 1.0)], [(100.0, 9.0)]), book_row(1, [(102.0, 9.0)], [(103.0, 1.0)]),
        book_row(2, [(0.999, 10.0)], [(1.0, 150.0), (1.05, 1e6)]),
    )  # fmt: skip
    steps, spent, out = spent_and_out(market, [2 * 0 + BUY, 2 * 1 + SELL, 2 * 2 + BUY])
    assert steps == 1
    assert out == pytest.approx([150.0 / 102.0, 150.0, 150.0], rel=1e-14)
    assert spent == pytest.approx(100.0 * 150.0 / 102.0, rel=1e-14)


def levels_of(rng, best, direction, count):
    steps = 1.0 + direction * np.cumsum(np.r_[0.0, rng.uniform(1e-5, 6e-4, count - 1)])
    sizes = rng.choice([0.0, 0.3, 1.0, 2.5], count) if rng.random() < 0.3 else rng.uniform(
        0.1, 3.0, count
    )  # fmt: skip
    sizes[0] = max(sizes[0], 0.1)
    return [(float(p), float(s)) for p, s in zip(best * steps, sizes, strict=True)]


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32), length=st.integers(2, 4), costs_bps=st.sampled_from([0.0, 3.0]),
    floor_bps=st.sampled_from([-5.0, 0.0, 2.0]),
)  # fmt: skip
def test_random_chains_give_what_every_breakpoint_gives(seed, length, costs_bps, floor_bps):
    rng = np.random.default_rng(seed)
    rows, legs, plain = [], [], []
    worth = rng.uniform(0.5, 3.0, length)
    for k in range(length):
        side = (BUY, SELL)[int(rng.integers(2))]
        # The chain begins and ends with one asset: its product is a few bps around one.
        price = worth[k] / worth[(k + 1) % length]
        price = price if side == SELL else 1.0 / price
        price *= 1.0 + rng.normal(scale=4e-4)
        bids, asks = (
            levels_of(rng, price * (1 - 1e-6), -1, int(rng.integers(1, DEPTH + 1))),
            levels_of(rng, price * (1 + 1e-6), +1, int(rng.integers(1, DEPTH + 1))),
        )
        rows.append(book_row(k, bids, asks))
        legs.append(2 * k + side)
        plain.append(("buy", asks) if side == BUY else ("sell", bids))
    spent, out = plain_walk.walk(plain, costs_bps, floor_bps)
    steps, found_spent, found_out = spent_and_out(
        market_of(*rows), legs, costs_bps=costs_bps, floor_bps=floor_bps
    )
    assert (steps > 0) == (spent > 0.0)
    assert found_spent == pytest.approx(spent, rel=1e-9)
    assert found_out == pytest.approx(out, rel=1e-9)


def test_a_walk_takes_no_more_than_there_is_and_gains_what_it_says():
    market = market_of(book_row(0, [(99.0, 1.0)], ASKS), book_row(1, BIDS, [(104.0, 1.0)]))
    steps, walk = walked(market, [BUY, 2 + SELL])
    assert steps
    assert total(walk, GOT) == out_of_leg(walk, 1)


@pytest.mark.parametrize(
    ("transits", "agree"),
    [
        ([0, 0], True),
        ([-500_000, 499_999], True),
        ([-500_000, 500_000], True),
        ([-500_001, 500_000], False),
        ([NO_TRANSIT_US, 9_000_000], True),
        ([NO_TRANSIT_US, NO_TRANSIT_US], True),
        ([0, NO_TRANSIT_US, 1_000_001], False),
    ],
)
def test_clocks_agree_within_the_limit_where_they_are_known(transits, agree):
    market = empty_market(len(transits), 1)
    market.transit_us[:] = transits
    legs = np.array([2 * i for i in range(len(transits))], np.int64)
    assert in_step(market, legs, legs.size, 1_000_000) is agree
