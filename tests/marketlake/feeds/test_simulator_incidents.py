"""The simulated market holds what its labels say, and no arbitrage that has no label."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from marketlake.contracts.events import Book, Quote, Trade
from marketlake.feeds.simulator import INCIDENT_KINDS, Incident, SimulationConfig, simulate
from marketlake.feeds.simulator.prices import build_paths

S = 1_000_000
FEE = 10e-4
CONFIGS = (
    SimulationConfig(seed=1),
    SimulationConfig(seed=2),
    SimulationConfig(seed=3, trades_per_second=30, quotes_per_second=5, books_per_second=2),
)
REAL = {"stale_venue", "arbitrage_real"}
"""The kinds that leave a quote which can be hit at a profit (or seems to, while stale)."""


PUBLISHED_FEES_BPS = {"binance": 10, "okx": 15, "bybit": 10, "kraken": 40, "coinbase": 60}
"""Taker fees of the lowest tier."""


class Market:
    """All of one simulation, in event time, with the last quote of each listing at any time."""

    def __init__(self, config):
        self.simulation = simulate(config)
        self.trades, quotes, books = [], defaultdict(dict), defaultdict(dict)
        for e in self.simulation.events():
            key = (e.venue, e.instrument) if not isinstance(e, Trade) else None
            if isinstance(e, Quote):
                row = (e.event_time_us, e.bid_price, e.ask_price, e.bid_quantity, e.ask_quantity)
                quotes[key][e.sequence] = row
            elif isinstance(e, Book):
                row = (e.event_time_us, e.bids[0][0], e.asks[0][0], e.bids[0][1], e.asks[0][1])
                books[key][e.sequence] = row
            elif isinstance(e, Trade):
                self.trades.append(e)
        self.quotes = {k: np.array([r[n] for n in sorted(r)]) for k, r in quotes.items()}
        self.books = {k: np.array([r[n] for n in sorted(r)]) for k, r in books.items()}

    def of(self, kind):
        return [one for one in self.simulation.incidents if one.kind == kind]


@pytest.fixture(scope="module", params=CONFIGS, ids=["seed 1", "seed 2", "few quotes"])
def market(request):
    return Market(request.param)


def last_at(series, times):
    """Rows of the last quote at each time; NaN before the first."""
    at = np.searchsorted(series[:, 0], times, side="right") - 1
    rows = series[np.maximum(at, 0), 1:].copy()
    rows[at < 0] = np.nan
    return rows


def labelled(market, times, listings):
    """Mark the times that a label of the kinds REAL covers on one of the listings."""
    mask = np.zeros(len(times), dtype=bool)
    for one in market.simulation.incidents:
        if one.kind in REAL and any(one.concerns(*listing) for listing in listings):
            mask |= (times >= one.start_us) & (times <= one.end_us)
    return mask


def listings_of(series, instrument):
    return [key for key in series if key[1] == instrument]


@pytest.mark.parametrize("source", ["quotes", "books"])
def test_no_pair_of_venues_can_be_traded_at_10_bps_a_leg_outside_labels(market, source):
    series = getattr(market, source)
    checked = 0
    for instrument in {instrument for _, instrument in series}:
        for buy, sell in itertools.permutations(listings_of(series, instrument), 2):
            times = np.union1d(series[buy][:, 0], series[sell][:, 0])
            ask = last_at(series[buy], times)[:, 1]
            bid = last_at(series[sell], times)[:, 0]
            profit = bid * (1 - FEE) > ask * (1 + FEE)
            calm = ~labelled(market, times, [buy, sell])
            checked += int(calm.sum())
            assert not (profit & calm).any(), (instrument, buy, sell, times[profit & calm][:3])
    assert checked > 50_000


TRIANGLES = [
    ("kraken", "BTC-USDC", "USDC-USD", "BTC-USD"),
    ("kraken", "BTC-USDC", "USDC-USDT", "BTC-USDT"),
    ("binance", "BTC-USDC", "USDC-USDT", "BTC-USDT"),
    ("binance", "ETH-BTC", "BTC-USDT", "ETH-USDT"),
    ("okx", "ETH-BTC", "BTC-USDT", "ETH-USDT"),
]


@pytest.mark.parametrize(("venue", "first", "second", "whole"), TRIANGLES)
def test_cross_pairs_agree_and_no_triangle_pays_its_fees(market, venue, first, second, whole):
    series = [market.quotes[venue, name] for name in (first, second, whole)]
    times = np.unique(np.concatenate([one[:, 0] for one in series]))
    a, b, c = (last_at(one, times) for one in series)
    calm = ~labelled(market, times, [(venue, first), (venue, second), (venue, whole)])
    calm &= ~np.isnan(a[:, 0] + b[:, 0] + c[:, 0])
    mids = [(one[:, 0] + one[:, 1]) / 2 for one in (a, b, c)]
    error_bps = np.abs(np.log(mids[0] * mids[1] / mids[2])) * 1e4
    # Each leg off by 2 bps of noise and 3 bps of staleness, and a little within a tick and step.
    assert error_bps[calm].max() < 3 * (2.0 + 3.0) + 2.0
    assert np.median(error_bps[calm]) < 3.0
    there = c[:, 0] / (a[:, 1] * b[:, 1]) * (1 - FEE) ** 3
    back = a[:, 0] * b[:, 0] / c[:, 1] * (1 - FEE) ** 3
    assert max(there[calm].max(), back[calm].max()) <= 1.0


def test_the_seed_places_every_kind_apart_from_each_other(market):
    incidents = market.simulation.incidents
    assert {one.kind for one in incidents} == set(INCIDENT_KINDS)
    config = market.simulation.config
    own = [one for one in incidents if "conversion" not in one.note]
    for before, after in itertools.pairwise(own):
        assert before.end_us < after.start_us
    assert all(config.start_time_us < one.start_us for one in own)
    assert all(one.end_us < config.end_time_us for one in own)


def test_a_short_simulation_leaves_long_incidents_out_instead_of_cramming_them():
    # 60 s have room for 36 s of incidents, at 0.4 of 90 s: neither the depeg (180 s) nor the
    # flash crash (150 s) fit; silence, arbitrage and prints (40 + 8 + 8 s) do, at 36 / 56.
    incidents = simulate(SimulationConfig(seed=1, duration_s=60)).incidents
    assert {one.kind for one in incidents} == set(INCIDENT_KINDS) - {"depeg", "flash_crash"}
    (stale,) = [one for one in incidents if one.kind == "stale_venue"]
    assert (stale.end_us - stale.start_us) / S == pytest.approx(40 * 36 / 56, abs=0.002)
    assert {one.kind for one in simulate(SimulationConfig(duration_s=1)).incidents} == {"bad_print"}


def mid_at(market, listing, time_us):
    bid, ask = last_at(market.quotes[listing], np.array([time_us]))[0, :2]
    return (bid + ask) / 2


def test_bad_prints_are_tiny_and_far_from_the_quotes(market):
    for one in market.of("bad_print"):
        listing = (one.venues[0], one.instruments[0])
        found = [
            t
            for t in market.trades
            if (t.venue, t.instrument) == listing and t.event_time_us == one.start_us
        ]
        prices = {t.price / mid_at(market, listing, one.start_us) - 1 for t in found}
        assert min(abs(p - one.magnitude) for p in prices) < 10e-4
        assert abs(one.magnitude) >= 0.03
        assert min(t.quantity for t in found) * mid_at(market, listing, one.start_us) < 20


def path_of(market, listing, one):
    series = market.quotes[listing]
    within = (series[:, 0] >= one.start_us) & (series[:, 0] <= one.end_us)
    return (series[within, 1] + series[within, 2]) / 2


def test_a_flash_crash_falls_on_all_venues_recovers_and_surges(market):
    (crash,) = market.of("flash_crash")
    for listing in market.quotes:
        if not crash.concerns(*listing):
            continue
        path = path_of(market, listing, crash) / mid_at(market, listing, crash.start_us)
        assert path.min() - 1 == pytest.approx(crash.magnitude, abs=0.008)
        assert path[-1] == pytest.approx(1.0, abs=0.008)
    length = crash.end_us - crash.start_us
    during = [t for t in market.trades if crash.start_us <= t.event_time_us < crash.end_us]
    everywhere = len(market.trades) / (600 * S)
    assert len(during) / length > 1.5 * everywhere


def test_a_depeg_takes_usdc_down_on_all_venues_and_nothing_else(market):
    (depeg,) = market.of("depeg")
    for listing in market.quotes:
        path = path_of(market, listing, depeg) / mid_at(market, listing, depeg.start_us)
        if listing[1].startswith("USDC-"):
            assert depeg.concerns(*listing)
            assert path.min() - 1 == pytest.approx(depeg.magnitude, abs=0.003)
            assert path[-1] == pytest.approx(1.0, abs=0.003)
        elif listing[1] == "BTC-USDC":
            assert path.max() == pytest.approx(1 / (1 + depeg.magnitude), rel=0.008)
        else:
            assert np.abs(path - 1).max() < 0.02


def test_a_stale_venue_is_silent_while_the_others_move(market):
    (stale,) = market.of("stale_venue")
    (venue,) = stale.venues
    assert venue in {t.venue for t in market.trades if stale.covers(t.event_time_us)}
    for source in (market.quotes, market.books):
        for listing, series in source.items():
            times = series[:, 0]
            inside = ((times >= stale.start_us) & (times < stale.end_us)).sum()
            if listing[0] == venue:
                assert inside == 0
                # It speaks again at the very end.
                assert (times == stale.end_us).sum() >= 1
            elif listing[1] == "BTC-USDT" and source is market.quotes:
                assert inside > 20
                moved = path_of(market, listing, stale)[-1] / path_of(market, listing, stale)[0]
                assert moved - 1 == pytest.approx(stale.magnitude, abs=0.004)


def test_a_real_arbitrage_can_be_executed_with_size_all_its_time(market):
    for one in market.of("arbitrage_real"):
        buy, sell = ((venue, one.instruments[0]) for venue in one.venues)
        times = np.arange(one.start_us, one.end_us, 50_000)
        offer, demand = last_at(market.quotes[buy], times), last_at(market.quotes[sell], times)
        buy_fee, sell_fee = (PUBLISHED_FEES_BPS[venue] * 1e-4 for venue in one.venues)
        net = demand[:, 0] / offer[:, 1] * (1 - sell_fee) / (1 + buy_fee) - 1
        # Drawn as 60 bps at least above both fees; noise, staleness and spreads take some.
        assert net.min() > 30e-4
        gross = demand[:, 0] / offer[:, 1] - 1
        assert np.median(gross) == pytest.approx(one.magnitude, abs=10e-4)
        base = one.instruments[0].split("-")[0]
        usd = mid_at(market, buy, one.start_us) if base != "ETH" else 3000.0
        size_usd = np.minimum(offer[:, 3], demand[:, 2]) * usd
        assert np.median(size_usd) > 1_000
        after = last_at(market.quotes[sell], np.array([one.end_us]))[0, 0]
        assert after < mid_at(market, buy, one.end_us) * (1 + 20e-4)


def test_a_false_arbitrage_of_prints_has_tiny_trades_and_unmoved_quotes(market):
    for one in market.of("arbitrage_false"):
        if len(one.instruments) != 1:
            continue
        listing = (one.venues[0], one.instruments[0])
        inside = [
            t
            for t in market.trades
            if (t.venue, t.instrument) == listing and one.covers(t.event_time_us)
        ]
        assert len({t.sequence for t in inside}) >= 3
        for t in inside:
            assert t.price / mid_at(market, listing, t.event_time_us) - 1 == pytest.approx(
                one.magnitude, abs=10e-4
            )
            assert t.quantity * t.price < 20 or listing[1] == "ETH-BTC"
        path = path_of(market, listing, one)
        assert path.max() / path.min() - 1 < 0.005


def test_a_false_arbitrage_of_a_depeg_vanishes_on_conversion(market):
    (depeg,) = market.of("depeg")
    (false,) = [one for one in market.of("arbitrage_false") if len(one.instruments) > 1]
    assert (false.start_us, false.end_us) == (depeg.start_us, depeg.end_us)
    bottom = (depeg.start_us + depeg.end_us) // 2
    in_usdc = mid_at(market, ("binance", "BTC-USDC"), bottom)
    in_usdt = mid_at(market, ("okx", "BTC-USDT"), bottom)
    rate = mid_at(market, ("binance", "USDC-USDT"), bottom)
    assert in_usdc / in_usdt - 1 > 0.04
    assert in_usdc * rate / in_usdt == pytest.approx(1.0, abs=20e-4)


def test_paths_have_the_volatility_tails_and_correlation_of_their_profiles():
    config = SimulationConfig(seed=4, duration_s=6 * 3600, incidents=())
    paths = build_paths(config, [], np.random.default_rng(4))
    steps = {asset: np.diff(path[::10]) for asset, path in paths.log_usd.items()}
    a_year = np.sqrt(365.25 * 86_400)
    assert steps["BTC"].std() * a_year == pytest.approx(0.55, rel=0.1)
    assert steps["SOL"].std() * a_year == pytest.approx(0.95, rel=0.1)
    # sqrt(0.85 * 0.7): what the two share through the factor.
    assert np.corrcoef(steps["BTC"], steps["ETH"])[0, 1] == pytest.approx(0.771, abs=0.03)
    raw = np.diff(paths.log_usd["BTC"])
    assert np.mean(raw**4) / np.mean(raw**2) ** 2 > 5.0
    sizes = np.abs(steps["BTC"])
    assert np.corrcoef(sizes[:-5], sizes[5:])[0, 1] > 0.1
    assert np.abs(paths.log_usd["USDC"]).max() < 5e-4


def test_incidents_can_be_set_and_a_plan_is_completed():
    start = 1_736_949_600 * S
    plan = (
        Incident(
            "arbitrage_real", start + 20 * S, start + 25 * S, ("okx", "bybit"), ("BTC-USDT",), 0.02
        ),
        Incident("depeg", start + 30 * S, start + 90 * S, magnitude=-0.1, note="mine"),
    )
    simulation = simulate(SimulationConfig(seed=1, duration_s=120, incidents=plan))
    real, false, depeg = simulation.incidents
    assert (real.venues, real.instruments) == (("okx", "bybit"), ("BTC-USDT",))
    assert real.note == "the second venue quotes rich, with size"
    assert set(depeg.venues) == {"binance", "coinbase", "kraken", "okx", "bybit"}
    assert set(depeg.instruments) == {"BTC-USDC", "USDC-USD", "USDC-USDT"}
    assert depeg.note == "mine"
    assert false.kind == "arbitrage_false"
    assert set(false.instruments) == {"BTC-USDC", "BTC-USD", "BTC-USDT"}


def test_no_incidents_leave_a_calm_market():
    simulation = simulate(SimulationConfig(seed=1, duration_s=60, incidents=()))
    assert simulation.incidents == []
    prices = [
        e.price for e in simulation.events() if isinstance(e, Trade) and e.instrument == "USDC-USD"
    ]
    assert 0.999 < min(prices) < max(prices) < 1.001
