"""The comparison of venues in step two: any cut, late listings, and the recorded depeg."""

from __future__ import annotations

import json
from itertools import pairwise

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.arrays import pack_arrays, take, unpack_arrays
from marketlake.contracts.instruments import resolve
from marketlake.feeds.recorded.catalog import open_recording
from marketlake.feeds.recorded.records import ReplayStats
from marketlake.settings.model import AnomalySettings
from streaming.stages.venue_comparison import VenueComparison

MINUTE_US = 60_000_000
T0 = 1_678_406_400_000_000
CODE = 1
SHORT = AnomalySettings(min_bars=5, venue_enter_score=2.0, venue_min_move_bps=20.0)
NAMES = sorted(
    [
        ("binance", "BTC-USDT"), ("kraken", "BTC-USDT"), ("okx", "BTC-USDT"), ("kraken", "BTC-USD"),
        ("kraken", "USDT-USD"), ("coinbase", "USDT-USD"), ("bybit", "BTC-USDC"),
        ("kraken", "USDC-USD"),
    ]
)  # fmt: skip


def market(seed, minutes=80):
    """Rows of bars by name; some listings come in the middle, some bars are of another interval."""
    rng = np.random.default_rng(seed)
    minute, k, origin = (a.ravel() for a in np.mgrid[:minutes, : len(NAMES), :2])
    first = rng.integers(0, minutes // 2, len(NAMES))
    kept = (minute >= first[k]) & (rng.random(k.size) < 0.9)
    minute, k, origin = minute[kept], k[kept], origin[kept]
    n = k.size
    close = 100 * np.exp(rng.standard_t(2, n) * 3e-3)
    volume = rng.random(n)
    return {
        "time_us": T0 + MINUTE_US * (minute + 1) - 1,
        "interval": np.where(rng.random(n) < 0.1, 0, CODE),
        "name": k,
        "origin": origin,
        "high": close * 1.001,
        "low": close * (1 - 0.01 * rng.random(n)),
        "close": close,
        "volume": volume,
        "quote_volume": np.where(origin == 0, close * volume, np.nan),
    }


def step(stage, rows, known):
    """Hand rows over as the merge does: instruments met so far, by rank."""
    known |= {int(k) for k in rows["name"]}
    order = sorted(known)
    instruments = [resolve(*NAMES[k]) for k in order]
    bars = {name: values for name, values in rows.items() if name != "name"}
    bars["instrument"] = np.array([order.index(int(k)) for k in rows["name"]], np.int64)
    return stage.step(bars, instruments), instruments


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), inner=st.lists(st.integers(0, 80), max_size=8))
def test_any_cut_with_restarts_gives_the_same(seed, inner):
    rows = market(seed)
    whole = VenueComparison(SHORT)
    expected, _ = step(whole, rows, set())
    assert len(expected) > 5

    stage, known, found = VenueComparison(SHORT), set(), []
    for start, stop in pairwise([T0 + MINUTE_US * m for m in (0, *sorted(inner), 81)]):
        cut = (rows["time_us"] >= start) & (rows["time_us"] < stop)
        part, instruments = step(stage, take(rows, cut), known)
        found += part
        again = VenueComparison(SHORT)
        again.restore(unpack_arrays(pack_arrays(stage.state())), instruments)
        stage = again

    def ordered(anomalies):
        return sorted(map(repr, anomalies))

    assert ordered(found) == ordered(expected)
    assert pack_arrays(stage.state()) == pack_arrays(whole.state())


def test_a_bucket_tells_only_of_its_own_base_assets():
    rows = market(3)
    everything, _ = step(VenueComparison(SHORT), rows, set())
    own, _ = step(VenueComparison(SHORT, lambda base: base == "BTC"), rows, set())
    assert own == [a for a in everything if a.instrument.startswith("BTC")]
    assert 0 < len(own) < len(everything)


@pytest.fixture(scope="module")
def depeg(recorded_data):
    """Events of the recorded depeg, as a table with the evidence as columns."""
    records = open_recording(recorded_data / "depeg-2023-03").records(ReplayStats())
    bars = pd.DataFrame([msgspec.json.decode(record.value) for record in records])
    names = sorted(set(zip(bars["venue"], bars["instrument"], strict=True)))
    code = {name: k for k, name in enumerate(names)}
    bars["instrument"] = [
        code[name] for name in zip(bars["venue"], bars["instrument"], strict=True)
    ]
    bars["time_us"] = bars["event_time_us"] + MINUTE_US - 1
    bars = bars.sort_values(["time_us", "instrument"])
    n = len(bars)
    columns = {
        name: bars[name].to_numpy(np.float64) for name in ("high", "low", "close", "volume")
    } | {
        "time_us": bars["time_us"].to_numpy(),
        "instrument": bars["instrument"].to_numpy(np.int64),
        "interval": np.full(n, CODE),
        "origin": np.ones(n, np.int64),
        "quote_volume": np.full(n, np.nan),
    }
    stage = VenueComparison(AnomalySettings())
    found = stage.step(columns, [resolve(*name) for name in names])
    table = pd.DataFrame([vars(anomaly) for anomaly in found])
    evidence = pd.DataFrame([json.loads(text) for text in table["evidence"]])
    for name in ("start_us", "end_us"):
        table[name.removesuffix("_us")] = pd.to_datetime(table[name], unit="us")
    return table.join(evidence.drop(columns=["origin"]))


def at(table, venue, instrument, time):
    """Events of a listing that cover a time."""
    moment = pd.Timestamp(time)
    of = (table["venue"] == venue) & (table["instrument"] == instrument)
    return table[of & (table["start"] <= moment) & (table["end"] > moment)]


@pytest.mark.recorded
def test_two_trades_of_212_usdc_are_a_bad_print(depeg):
    (event,) = at(depeg, "binanceus", "USDC-USDT", "2023-03-03 01:47").to_dict("records")
    assert event["kind"] == "bad_print"
    assert event["price"] == 0.8997
    assert event["reverted"]
    assert abs(event["peers_move_bps"]) < 10
    # Only Kraken's USDC-USD is there to compare with, and it is priced in another currency.
    assert event["converted"]
    assert event["peers"] == 1


@pytest.mark.recorded
def test_the_depeg_is_a_move_of_the_market_on_all_venues(depeg):
    low = depeg[(depeg["venue"] == "kraken") & (depeg["price"] == 0.874)]
    assert low["kind"].tolist() == ["market_move"]
    assert low["severity"].tolist() == ["high"]
    assert at(depeg, "kraken", "USDC-USD", "2023-03-11 07:15")["price"].tolist() == [0.874]
    # From 03:00 USDC is off its peg on both venues for the rest of the day, but for their wicks.
    day = depeg[(depeg["start"] >= "2023-03-11 03:00") & (depeg["start"] < "2023-03-12")]
    for venue, instrument in (("kraken", "USDC-USD"), ("binanceus", "USDC-USDT")):
        own = day[(day["venue"] == venue) & (day["instrument"] == instrument)]
        hours = (own["end"] - own["start"]).groupby(own["kind"]).sum() / pd.Timedelta(hours=1)
        assert hours["market_move"] > 18
        assert hours.drop("market_move").sum() < 1


@pytest.mark.recorded
def test_venues_that_part_in_the_depeg_are_shown_and_not_averaged_away(depeg):
    (event,) = at(depeg, "binanceus", "USDC-USDT", "2023-03-11 04:30").to_dict("records")
    assert event["price"] == 0.822
    assert event["kind"] == "venue_move"
    # Binance.US fell three times as far as Kraken, with volume.
    assert event["gap_bps"] < -900
    assert -500 < event["peers_move_bps"] < -300
    assert event["volume_ratio"] > 0.1


@pytest.mark.recorded
def test_bitcoin_falling_everywhere_is_no_bad_print_anywhere(depeg):
    crash = depeg[(depeg["start"] >= "2023-03-03 01:30") & (depeg["start"] < "2023-03-03 01:34")]
    bitcoin = crash[crash["instrument"].str.startswith("BTC")]
    assert len(bitcoin) == 8
    assert set(bitcoin["kind"]) == {"market_move"}
