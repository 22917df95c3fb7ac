"""What step two makes of the simulator's labels: real arbitrage is found, false is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from marketlake.analytics.depth.market import NO_BOOK
from marketlake.contracts.events import Book, Quote
from marketlake.contracts.instruments import resolve, with_fee
from marketlake.feeds.simulator import SimulationConfig, simulate
from marketlake.feeds.simulator.config import DEMO_PERPETUALS
from marketlake.feeds.simulator.prices import PREMIUM_BPS, PREMIUM_WANDER_BPS
from marketlake.settings.model import SpreadSettings
from streaming.stages.listing import make_listing
from streaming.stages.quote_world import QuoteWorld

SEEDS = range(1, 5)
DEPTH = SpreadSettings().depth_levels
SECOND_US = 1_000_000
UNIFORM_FEE_BPS = 10.0
"""The fee from which on the simulated market holds no arbitrage but the labelled."""


@cache
def market(seed):
    """Incidents, instruments, and quotes and books by column in order of event time."""
    simulation = simulate(SimulationConfig(seed=seed, perpetuals=DEMO_PERPETUALS))
    events = {
        (type(e).__name__, e.venue, e.instrument, e.sequence): e
        for e in simulation.events()
        if isinstance(e, Quote | Book)
    }
    names = sorted({(e.venue, e.instrument) for e in events.values()})
    code = {name: place for place, name in enumerate(names)}
    ordered = sorted(
        events.values(),
        key=lambda e: (e.event_time_us, type(e) is Quote, code[e.venue, e.instrument], e.sequence),
    )
    levels, book, best = [], [], []
    for e in ordered:
        if isinstance(e, Quote):
            best.append((e.bid_price, e.bid_quantity, e.ask_price, e.ask_quantity))
            book.append(NO_BOOK)
            continue
        best.append((*e.bids[0], *e.asks[0]))
        book.append(len(levels))
        sides = [np.array(side[:DEPTH]).T for side in (e.bids, e.asks)]
        levels.append(np.concatenate(sides))
    columns = dict(zip(
        ("bid_price", "bid_quantity", "ask_price", "ask_quantity"), np.array(best).T.copy(),
        strict=True,
    ))  # fmt: skip
    columns |= {
        "time_us": np.array([e.event_time_us for e in ordered]),
        "instrument": np.array([code[e.venue, e.instrument] for e in ordered]),
        "transit_us": np.array([e.received_time_us - e.event_time_us for e in ordered]),
        "book": np.array(book), "levels": np.array(levels),
    }  # fmt: skip
    return simulation.incidents, names, columns


def hunt(seed, *, fee_bps=None, **settings):
    """Opportunities of a seed: spreads as ``(venue, instrument, venue, instrument, from, to)``."""
    incidents, names, columns = market(seed)
    listed = [resolve(*name) for name in names]
    if fee_bps is not None:
        listed = [with_fee(one, fee_bps) for one in listed]
    chosen = SpreadSettings(**settings)
    world, listing = QuoteWorld(chosen), make_listing(listed, chosen)
    world.grow(np.empty(0, np.int64), len(listed))
    spreads, triangles, _ = world.step(
        columns, int(columns["time_us"][-1]) + 10 * SECOND_US, listing
    )
    lives = {}
    for buy, sell, since_us, time_us in zip(
        *(spreads[n].tolist() for n in ("buy", "sell", "since_us", "time_us")), strict=True
    ):
        key = (*names[buy], *names[sell], since_us)
        lives[key] = max(time_us, lives.get(key, 0))
    return incidents, [(*key, end_us) for key, end_us in lives.items()], triangles


def in_label(incident, found):
    """Tell whether an opportunity is what an incident says: it sells where prices are rich."""
    _, _, sell_venue, sell_instrument, begin_us, _ = found
    return (
        incident.kind == "arbitrage_real"
        and (sell_venue, sell_instrument) == (incident.venues[1], incident.instruments[0])
        and incident.start_us <= begin_us <= incident.end_us
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fee_bps", [None, UNIFORM_FEE_BPS])
def test_every_real_arbitrage_is_found_and_nothing_else(seed, fee_bps):
    incidents, found, triangles = hunt(seed, fee_bps=fee_bps)
    real = [one for one in incidents if one.kind == "arbitrage_real"]
    false = [one for one in incidents if one.kind == "arbitrage_false"]
    assert real
    assert {len(one.instruments) for one in false} >= {1}, "tiny prints"
    assert any("conversion" in one.note for one in false), "a currency that is not converted"
    for one in real:
        pair = [f for f in found if in_label(one, f) and f[0] == one.venues[0]]
        assert pair, "bought where the label says"
        assert min(f[4] for f in pair) <= one.start_us + SECOND_US, "within a second"
        assert max(f[5] for f in pair) <= one.end_us + 3 * SECOND_US
    assert [f for f in found if not any(in_label(one, f) for one in real)] == []
    # The venue of a real arbitrage is rich in one instrument only: its triangles pay too.
    within = [
        any(one.start_us <= t <= one.end_us + 3 * SECOND_US for one in real)
        for t in triangles["time_us"].tolist()
    ]
    assert all(within)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_fees_eat_is_none(seed):
    incidents, found, _ = hunt(seed, fee_bps=100.0)
    real = [one for one in incidents if one.kind == "arbitrage_real"]
    # A label's magnitude is its gross; a spread and a step of the market come on top.
    dear = [one for one in real if one.magnitude > 0.0195]
    assert [f for f in found if not any(in_label(one, f) for one in dear)] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_too_small_is_none(seed):
    _, found, triangles = hunt(seed, min_notional=1e7, min_notional_of={})
    assert found == []
    assert triangles["time_us"].size == 0


def test_without_a_limit_of_age_a_silent_venue_would_seem_to_pay():
    quiet = [
        seed for seed in SEEDS
        if len(hunt(seed, fee_bps=UNIFORM_FEE_BPS, max_quote_age_ms=60_000)[1])
        > len(hunt(seed, fee_bps=UNIFORM_FEE_BPS)[1])
    ]  # fmt: skip
    assert quiet, "the limit is what keeps them out"


@pytest.mark.parametrize("seed", SEEDS)
def test_perpetuals_have_a_basis_and_it_is_the_premium_that_they_were_given(seed):
    incidents, names, columns = market(seed)
    listed = [resolve(*name) for name in names]
    chosen = SpreadSettings(basis_interval="1s")
    world, listing = QuoteWorld(chosen), make_listing(listed, chosen)
    world.grow(np.empty(0, np.int64), len(listed))
    _, _, basis = world.step(columns, int(columns["time_us"][-1]), listing)
    pairs = {(*names[spot], names[perp][1]) for spot, perp in zip(
        basis["spot"].tolist(), basis["perp"].tolist(), strict=True)}  # fmt: skip
    assert {
        (venue, f"{base}-USDT", f"{base}-USDT-PERP")
        for venue in ("binance", "bybit") for base in ("BTC", "ETH")
    } <= pairs  # fmt: skip
    # The quotes of both stand up to 3 bps from their price, which has up to 1.5 bps of noise.
    room_bps = PREMIUM_WANDER_BPS + 2 * (3.0 + 1.5) + 1.0
    calm = [
        bps
        for bps, spot, time_us in zip(
            basis["basis_bps"], basis["spot"], basis["time_us"].tolist(), strict=True
        )
        if names[spot][1].endswith("-USDT") and not any(one.covers(time_us) for one in incidents)
    ]
    assert len(calm) > 500
    assert max(abs(bps - PREMIUM_BPS) for bps in calm) < room_bps
    assert np.ptp(calm) > 3.0
    assert np.isfinite(basis["annualised_carry"]).all()


def test_capacity_grows_with_depth():
    def capacity(levels):
        _, names, columns = market(1)
        listed = [resolve(*name) for name in names]
        chosen = SpreadSettings(depth_levels=levels)
        world, listing = QuoteWorld(chosen), make_listing(listed, chosen)
        world.grow(np.empty(0, np.int64), len(listed))
        rows = {**columns, "levels": np.ascontiguousarray(columns["levels"][:, :, :levels])}
        spreads, _, _ = world.step(rows, int(columns["time_us"][-1]), listing)
        return spreads["capacity_notional"].max()

    assert capacity(1) < capacity(3) < capacity(10)
