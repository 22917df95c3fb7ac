"""Bad print, venue move or market move: made-up markets with one thing wrong, and any cut."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.anomalies.cross_venue import (
    KINDS,
    CrossVenueMoves,
    CrossVenueParameters,
)
from marketlake.analytics.anomalies.episodes import WIDTH
from marketlake.analytics.anomalies.listings import build_listings
from marketlake.analytics.kernel import initial_states, states_from_bytes, states_to_bytes
from marketlake.contracts.instruments import resolve

MINUTE_US = 60_000_000
T0 = 1_678_492_800_000_000
VENUES = ("binance", "bybit", "kraken", "okx")
FOLD = CrossVenueMoves()


class Market:
    """Bars of listings that all stand still but for rounding; a test then changes some."""

    def __init__(self, *names, minutes=60):
        self.instruments = [resolve(*name) for name in sorted(names)]
        self.names = sorted(names)
        self.listings = build_listings(self.instruments)
        k = len(names)
        rng = np.random.default_rng(1)
        level = np.array([100.0 if n[1].startswith("BTC") else 1.0 for n in self.names])
        self.close = np.tile(level, (minutes, 1)) * np.exp(rng.normal(0, 2e-4, (minutes, k)))
        self.low, self.high = self.close * (1 - 1e-4), self.close * (1 + 1e-4)
        self.volume, self.vwap = np.ones((minutes, k)), np.full((minutes, k), np.nan)
        self.present = np.ones((minutes, k), np.bool_)

    def of(self, venue, instrument):
        return self.names.index((venue, instrument))

    def move(self, k, minute, factor, length=1):
        """Take a listing's price away for some minutes."""
        for column in (self.close, self.low, self.high):
            column[minute : minute + length, k] *= factor

    def scale(self, factors):
        """Multiply all prices."""
        self.close, self.low, self.high = (c * factors for c in (self.close, self.low, self.high))

    def wick(self, k, minute, factor):
        """Take the low (or high) of a bar away, and nothing else."""
        column = self.low if factor < 1 else self.high
        column[minute, k] = self.close[minute, k] * factor

    def columns(self):
        minute, k = np.nonzero(self.present)
        return {
            "time_us": T0 + MINUTE_US * (minute + 1) - 1,
            "listing": k,
            **{
                name: getattr(self, name)[minute, k]
                for name in ("high", "low", "close", "volume", "vwap")
            },
        }

    def events(self, fold=FOLD):
        states = initial_states(fold.initial(), len(self.names))
        found = [fold.step(states, self.listings, *self.columns().values()), fold.flush(states)]
        return [
            (
                "/".join(self.names[part.listing[i]]),
                KINDS[part.kind[i]],
                int(part.start_us[i] - T0) // MINUTE_US,
                int(part.end_us[i] - T0) // MINUTE_US,
            )
            for part in found
            for i in range(len(part))
        ]


def btc(minutes=60):
    return Market(*((venue, "BTC-USDT") for venue in VENUES), minutes=minutes)


def test_nothing_wrong_nothing_said():
    assert btc(2_000).events() == []


def test_a_print_on_one_venue_without_volume_is_a_bad_print():
    market = btc()
    k = market.of("kraken", "BTC-USDT")
    market.move(k, 40, 0.95)
    market.volume[40, k] = 0.01
    assert market.events() == [("kraken/BTC-USDT", "bad_print", 40, 41)]


def test_a_wick_is_judged_by_its_vwap():
    market = btc()
    k = market.of("kraken", "BTC-USDT")
    market.wick(k, 40, 1.05)
    # A hundredth of the volume traded 5 % up; on the other venue, all of it.
    market.vwap[40, k] = market.close[40, k] * 1.0005
    other = market.of("okx", "BTC-USDT")
    market.wick(other, 50, 1.05)
    market.vwap[50, other] = market.close[50, other] * 1.03
    assert market.events() == [
        ("kraken/BTC-USDT", "bad_print", 40, 40),
        ("okx/BTC-USDT", "venue_move", 50, 50),
    ]


def test_a_venue_that_leaves_the_others_with_volume_or_for_good_has_moved():
    market = btc()
    k = market.of("kraken", "BTC-USDT")
    market.move(k, 40, 0.95)
    assert market.events() == [("kraken/BTC-USDT", "venue_move", 40, 41)]
    stays = btc()
    stays.move(k, 40, 0.95, 20)
    stays.volume[40:, k] = 0.001
    assert stays.events()[0][1] == "venue_move"


def test_all_venues_moving_is_the_market():
    market = btc()
    for k in range(4):
        market.move(k, 40, 0.97, 20)
    assert {event[:2] for event in market.events()} == {
        (f"{venue}/BTC-USDT", "market_move") for venue in VENUES
    }
    assert len(market.events()) == 4


def test_a_venue_that_leads_by_a_minute_did_not_part():
    market = btc()
    for k in range(4):
        market.move(k, 40 + (k > 0), 0.97, 20)
    assert {event[1] for event in market.events()} == {"market_move"}


def test_a_creeping_move_of_all_is_found():
    market = btc(120)
    # Eight basis points a minute, where two are usual, for half an hour.
    market.scale(np.exp(-np.clip(np.arange(120) - 60, 0, 30) * 8e-4)[:, np.newaxis])
    kinds = {event[:2] for event in market.events()}
    assert kinds == {(f"{venue}/BTC-USDT", "market_move") for venue in VENUES}


def test_without_others_nothing_is_said():
    market = Market(("kraken", "BTC-USDT"), ("kraken", "BTC-USD"))
    market.move(0, 40, 0.9)
    assert market.events() == []
    stale = btc()
    stale.present[30:, 1:] = False
    stale.move(0, 45, 0.9)
    assert stale.events() == []


def test_bars_without_volume_and_without_prices_are_no_observation():
    market = btc()
    market.move(0, 40, 0.9, 3)
    market.volume[40:43, 0] = 0.0
    market.move(1, 50, np.nan)
    market.volume[55, 2] = np.nan
    assert market.events() == []


def test_constant_prices_gaps_and_warm_up_give_no_alarm():
    market = btc(400)
    for column in (market.close, market.low, market.high):
        column[:] = 100.0
    rng = np.random.default_rng(3)
    market.present &= rng.random(market.present.shape) < 0.3
    assert market.events() == []
    young = btc()
    young.move(0, 20, 0.9)
    assert young.events() == []


DOLLARS = (
    ("binance", "USDC-USDT"), ("kraken", "USDC-USD"), ("kraken", "USDT-USD"),
    ("coinbase", "USDT-USD"),
)  # fmt: skip


def test_other_currencies_are_converted_before_they_are_compared():
    market = Market(*DOLLARS)
    # USDT loses 3 %: all that has its price in USDT rises, and USDC stands where it stood.
    market.move(market.of("kraken", "USDT-USD"), 40, 0.97, 20)
    market.move(market.of("coinbase", "USDT-USD"), 40, 0.97, 20)
    market.move(market.of("binance", "USDC-USDT"), 40, 1 / 0.97, 20)
    assert {event[:2] for event in market.events()} == {
        ("coinbase/USDT-USD", "market_move"), ("kraken/USDT-USD", "market_move"),
    }  # fmt: skip
    # USDC loses 3 % everywhere, and where it is priced in USDT too.
    depeg = Market(*DOLLARS)
    depeg.move(depeg.of("kraken", "USDC-USD"), 40, 0.97, 20)
    depeg.move(depeg.of("binance", "USDC-USDT"), 40, 0.97, 20)
    assert {event[:2] for event in depeg.events()} == {
        ("binance/USDC-USDT", "market_move"), ("kraken/USDC-USD", "market_move"),
    }  # fmt: skip


def test_off_the_peg_for_long_is_told_in_stretches_and_a_jump_apart():
    market = Market(*DOLLARS, minutes=200)
    for name in (("kraken", "USDC-USD"), ("binance", "USDC-USDT")):
        market.move(market.of(*name), 40, 0.97, 120)
    k = market.of("binance", "USDC-USDT")
    market.wick(k, 120, 0.8)
    found = [event[1:] for event in market.events() if event[0] == "binance/USDC-USDT"]
    # The jump, over after three bars without a new low; an hour off the peg; what is left of the
    # next, cut by the wick, which the other venue did not have; off the peg until the jump back.
    assert found[0][:2] == ("market_move", 40)
    assert found[0][2] < 50
    assert found[1][0] == "market_move"
    assert found[1][2] - found[1][1] == 59
    assert ("venue_move", 120, 120) in found
    assert all(kind == "market_move" for kind, start, _ in found if start != 120)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    inner=st.lists(st.integers(0, 90), max_size=8),
)
def test_cut_between_any_moments_gives_the_same_bits(seed, inner):
    rng = np.random.default_rng(seed)
    names = [*DOLLARS, *((v, i) for v in ("binance", "kraken") for i in ("BTC-USDT", "BTC-USDC"))]
    market = Market(*names, minutes=90)
    walk = np.exp(np.cumsum(rng.standard_t(2, market.close.shape) * 2e-3, axis=0))
    market.scale(walk)
    market.low *= 1 - rng.random(market.low.shape) * 0.01
    market.volume[rng.random(market.volume.shape) < 0.1] = 0.0
    market.present &= rng.random(market.present.shape) < 0.8
    market.close[rng.random(market.close.shape) < 0.02] = np.nan
    fold = CrossVenueMoves(
        CrossVenueParameters(
            enter=2.0, slow_enter=2.0, min_move=0.002, peg_move=0.004, min_bars=5, max_bars=6,
            settle_us=3 * MINUTE_US,
        )
    )  # fmt: skip
    columns = market.columns()
    time_us = columns["time_us"]
    whole = initial_states(fold.initial(), len(names))
    expected = astuple(fold.step(whole, market.listings, *columns.values()))
    assert len(expected[0]) > 3
    states, parts = initial_states(fold.initial(), len(names)), []
    edges = [T0 + MINUTE_US * m for m in (0, *sorted(inner), 91)]
    for start, stop in pairwise(edges):
        states = states_from_bytes(states_to_bytes(states), WIDTH)
        cut = (time_us >= start) & (time_us < stop)
        given_columns = [column[cut] for column in columns.values()]
        parts.append(astuple(fold.step(states, market.listings, *given_columns)))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    assert [c.tobytes() for c in joined] == [c.tobytes() for c in expected]
    assert states.tobytes() == whole.tobytes()


def test_what_only_converts_is_followed_and_not_told_of():
    instruments = [resolve(*name) for name in sorted(DOLLARS)]
    listings = build_listings(instruments, lambda base: base != "USDT")
    assert listings.watched.tolist() == [True, False, True, False]
    market = Market(*DOLLARS)
    market.listings = listings
    market.move(market.of("kraken", "USDT-USD"), 40, 0.9)
    assert market.events() == []


def test_perpetuals_are_not_compared_with_spot():
    names = [("binance", "BTC-USDT"), ("binance", "BTC-USDT-PERP"), ("okx", "BTC-USDT-PERP")]
    group = build_listings([resolve(*name) for name in names]).group
    assert group[0] != group[1]
    assert group[1] == group[2]


def test_states_of_another_shape_are_refused():
    market = btc()
    with pytest.raises(ValueError, match="needs states"):
        FOLD.step(np.zeros((4, WIDTH + 1)), market.listings, *market.columns().values())
