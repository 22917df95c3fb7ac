"""The simulated market: repeatable, ordered, at its rates, without arbitrage but the labelled."""

import hashlib
import itertools
import os
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace

import msgspec
import pytest

from marketlake.contracts.events import Bar, Book, Event, Quote, Trade
from marketlake.feeds.simulator import Incident, SimulationConfig, simulate
from marketlake.feeds.simulator.config import DEMO_PERPETUALS

S = 1_000_000
START = 1_736_949_600 * S
CALM = SimulationConfig(
    seed=11,
    duration_s=120,
    incidents=(),
    late_rate=0.0,
    duplicate_rate=0.0,
    reorder_rate=0.0,
    gap_rate=0.0,
    diurnal_amplitude=0.0,
)


def digest(config: SimulationConfig) -> str:
    sha = hashlib.sha256()
    for event_type, key, value in simulate(config).messages():
        sha.update(event_type.encode() + key + value + b"\n")
    return sha.hexdigest()


def stream_of(event: Event) -> tuple[type, str, str]:
    return type(event), event.venue, event.instrument


def unique(events: list[Event]) -> list[Event]:
    """Drop repeats (same stream and sequence), keeping the first."""
    seen = {}
    for event in events:
        seen.setdefault((*stream_of(event), event.sequence), event)
    return list(seen.values())


# ---- repeatable


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    config = SimulationConfig(seed=5, duration_s=60)
    assert digest(config) == digest(config)
    assert digest(config) != digest(replace(config, seed=6))


def test_bytes_do_not_depend_on_the_process():
    code = (
        "import hashlib\n"
        "from marketlake.feeds.simulator import SimulationConfig, simulate\n"
        "sha = hashlib.sha256()\n"
        "for t, k, v in simulate(SimulationConfig(seed=5, duration_s=60)).messages():\n"
        "    sha.update(t.encode() + k + v + b'\\n')\n"
        "print(sha.hexdigest())\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == digest(SimulationConfig(seed=5, duration_s=60))


def test_a_simulation_can_be_read_again_and_its_messages_are_its_events():
    simulation = simulate(SimulationConfig(seed=3, duration_s=30))
    first = list(simulation.events())
    assert list(simulation.events()) == first
    decoder = msgspec.json.Decoder(Trade | Quote | Book | Bar)
    for event, (event_type, key, value) in zip(first, simulation.messages(), strict=True):
        assert decoder.decode(value) == event
        assert key == event.instrument.encode()
        assert msgspec.json.decode(value)["type"] == event_type


# ---- order, rates, faults of delivery


def test_without_faults_messages_come_in_order_of_reception_and_nothing_is_missing():
    events = list(simulate(CALM).events())
    received = [event.received_time_us for event in events]
    assert received == sorted(received)
    last: dict[tuple, Event] = {}
    for event in events:
        before = last.get(stream_of(event))
        assert event.sequence == (1 if before is None else before.sequence + 1)
        if before is not None:
            assert event.event_time_us >= before.event_time_us
        assert event.received_time_us > event.event_time_us
        last[stream_of(event)] = event


def test_times_lie_within_the_simulation():
    config = SimulationConfig(seed=2, start_time_us=START + 17 * S + 3, duration_s=150)
    events = list(simulate(config).events())
    times = [event.event_time_us for event in events]
    assert min(times) >= config.start_time_us
    assert max(times) < config.end_time_us
    # Whole minutes within: 14:01 and 14:02 (14:00:17 to 14:02:47 holds the first of them only).
    assert {e.event_time_us for e in events if isinstance(e, Bar)} == {START + 60 * S}


def test_rates_are_near_the_configured_ones():
    simulation = simulate(replace(CALM, duration_s=600))
    counts = simulation.stats.by_type
    assert counts["trade"] == pytest.approx(60 * 600, abs=4 * (60 * 600) ** 0.5)
    # Quotes and books come on top whenever the price has moved.
    assert 150 * 600 * 0.99 < counts["quote"] < 150 * 600 * 1.6
    assert 20 * 600 * 0.99 < counts["book"] < 20 * 600 * 3
    assert simulation.stats.events == sum(counts.values()) == sum(1 for _ in simulation.events())
    assert simulation.stats.late == simulation.stats.duplicates == simulation.stats.lost == 0


def test_activity_follows_the_hour_of_the_day():
    rates = {"duration_s": 300, "quotes_per_second": 0.0, "books_per_second": 0.0, "bars": False}
    config = replace(CALM, diurnal_amplitude=0.5, **rates)
    busy = simulate(replace(config, start_time_us=START + 3600 * S)).stats.by_type["trade"]
    quiet = simulate(replace(config, start_time_us=START - 11 * 3600 * S)).stats.by_type["trade"]
    # 15:00 UTC is the peak (1 + 0.5), 03:00 the trough (1 - 0.5).
    assert busy / quiet == pytest.approx(3.0, rel=0.05)


def test_late_and_duplicate_messages_come_at_their_rates():
    config = replace(CALM, late_rate=0.02, late_max_s=20.0, duplicate_rate=0.03, bars=False)
    simulation = simulate(config)
    messages = [value for _, _, value in simulation.messages()]
    once = [msgspec.json.decode(value) for value in dict.fromkeys(messages)]
    count = len(once)
    repeats = len(messages) - count
    assert repeats == simulation.stats.duplicates
    assert repeats == pytest.approx(0.03 * count, rel=0.15)
    delays = [(e["received_time_us"] - e["event_time_us"]) / S for e in once]
    late = [delay for delay in delays if delay >= 1.0]
    assert len(late) == simulation.stats.late
    assert len(late) == pytest.approx(0.02 * count, rel=0.15)
    assert 15.0 < max(late) < 22.0


def test_reordered_messages_are_overtaken_by_their_successor():
    simulation = simulate(replace(CALM, reorder_rate=0.02))
    inversions, last = 0, defaultdict(int)
    for event in simulation.events():
        stream = stream_of(event)
        inversions += event.sequence < last[stream]
        last[stream] = max(last[stream], event.sequence)
    assert inversions == simulation.stats.reordered
    assert inversions == pytest.approx(0.02 * simulation.stats.events, rel=0.15)


def test_gaps_leave_sequence_numbers_out():
    simulation = simulate(replace(CALM, gap_rate=0.01))
    present = defaultdict(set)
    for event in simulation.events():
        present[stream_of(event)].add(event.sequence)
    missing = sum(max(numbers) - len(numbers) for numbers in present.values())
    lost = simulation.stats.lost
    assert lost == pytest.approx(0.01 * (60 + 150 + 20) * 120, rel=0.35)
    # Losses at the very end of a stream leave no trace.
    assert 0.95 * lost <= missing <= lost


def test_two_hundred_thousand_events_take_seconds():
    config = SimulationConfig(seed=1, trades_per_second=100, quotes_per_second=300)
    started = time.process_time()
    count = sum(1 for _ in itertools.islice(simulate(config).messages(), 200_000))
    assert count == 200_000
    assert time.process_time() - started < 10.0


# ---- what events hold


def test_bars_are_those_of_the_venues_own_trades():
    config = replace(CALM, duration_s=240, trades_per_second=4.0)
    trades, bars = defaultdict(list), {}
    for event in simulate(config).events():
        if isinstance(event, Trade):
            minute = event.event_time_us // (60 * S) * 60 * S
            trades[event.venue, event.instrument, minute].append(event)
        elif isinstance(event, Bar):
            bars[event.venue, event.instrument, event.event_time_us] = event
    for key, own in trades.items():
        bar, prices = bars[key], [trade.price for trade in own]
        assert (bar.open, bar.high) == (prices[0], max(prices))
        assert (bar.low, bar.close) == (min(prices), prices[-1])
        assert bar.volume == pytest.approx(sum(trade.quantity for trade in own))
        assert bar.trade_count == len(own)
        assert bar.received_time_us > bar.event_time_us + 60 * S
    empty = {key: bar for key, bar in bars.items() if key not in trades}
    assert empty
    for (venue, instrument, minute), bar in empty.items():
        assert venue in {"binance", "okx", "bybit"}
        assert bar.volume == bar.trade_count == 0
        before = bars[venue, instrument, minute - 60 * S].close
        assert bar.open == bar.high == bar.low == bar.close == before


def test_quotes_and_books_are_uncrossed_sorted_and_positive():
    for event in simulate(SimulationConfig(seed=9, duration_s=120)).events():
        if isinstance(event, Quote):
            assert 0 < event.bid_price < event.ask_price
            assert min(event.bid_quantity, event.ask_quantity) > 0
        elif isinstance(event, Book):
            bids, asks = [p for p, _ in event.bids], [p for p, _ in event.asks]
            assert 10 <= len(bids) == len(asks) <= 20
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert 0 < bids[0] < asks[0]
            assert min(size for _, size in event.bids + event.asks) > 0


def test_each_venue_lists_a_plausible_subset():
    listed = defaultdict(set)
    for event in simulate(replace(CALM, duration_s=60)).events():
        listed[event.venue].add(event.instrument)
    assert listed["coinbase"] == {"BTC-USD", "USDC-USD", "ETH-BTC"}
    assert "BTC-USD" not in listed["binance"] | listed["okx"] | listed["bybit"]
    assert {"BTC-USDT", "BTC-USDC"} <= listed["binance"] & listed["okx"] & listed["bybit"]


def test_perpetuals_come_on_top_and_spot_is_to_the_byte_what_it_was():
    config = SimulationConfig(seed=8, duration_s=600)
    plain = list(simulate(config).messages())
    simulation = simulate(replace(config, perpetuals=DEMO_PERPETUALS))
    added = list(simulation.messages())
    assert [m for m in added if not m[1].endswith(b"-PERP")] == plain
    own = {(e.venue, e.instrument) for e in simulation.events() if e.instrument.endswith("-PERP")}
    assert own == {(v, p) for v in ("binance", "bybit") for p in DEMO_PERPETUALS}
    assert 0.01 < len(added) / len(plain) - 1 < 0.15
    # What concerns the whole market concerns them, and the labels say so.
    crash = next(one for one in simulation.incidents if one.kind == "flash_crash")
    assert set(DEMO_PERPETUALS) <= set(crash.instruments)


def test_made_up_assets_are_accepted():
    config = replace(CALM, duration_s=20, instruments=("AAA-USDT", "BBB-USDT"))
    prices = {
        (e.instrument, e.venue): e.price for e in simulate(config).events() if isinstance(e, Trade)
    }
    assert {venue for _, venue in prices} == {"binance", "kraken", "okx", "bybit"}
    assert all(0.1 <= price <= 100.0 for price in prices.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"duration_s": 0}, "duration_s"),
        ({"late_rate": float("nan")}, "late_rate"),
        ({"venues": ("mtgox",)}, "unknown venue 'mtgox'; known are"),
        ({"venues": ("okx", "okx")}, "names one twice"),
        ({"instruments": ("BTCUSDT",)}, "not a pair BASE-QUOTE"),
        ({"perpetuals": ("BTC-USDT",)}, "'BTC-USDT' is not BASE-QUOTE-PERP"),
        ({"perpetuals": ("DOGE-USDT-PERP",)}, "'DOGE-USDT-PERP' is not BASE-QUOTE-PERP of assets"),
        (
            {"perpetuals": ("BTC-USDT-PERP",), "venues": ("okx", "coinbase")},
            "none of okx, coinbase has perpetuals",
        ),
        ({"instruments": ("BTC-USD",), "venues": ("okx",)}, "none of okx trades 'BTC-USD'"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_field(change, message):
    with pytest.raises(ValueError, match=message):
        SimulationConfig(**change)


@pytest.mark.parametrize(
    ("incident", "message"),
    [
        (Incident("bad_print", START - 1, START - 1, ("okx",), ("BTC-USDT",), 0.05), "must lie"),
        (Incident("bad_print", START, START, ("okx",), ("BTC-USD",), 0.05), "does not list"),
        (Incident("bad_print", START, START, (), ("BTC-USDT",), 0.05), "give 1 venues"),
        (Incident("depeg", START, START + 9 * S, magnitude=0.1), "magnitude"),
        (
            Incident("arbitrage_real", START, START + S, ("okx", "okx"), ("BTC-USDT",), 0.01),
            "twice",
        ),
    ],
)
def test_an_incident_that_does_not_fit_is_refused(incident, message):
    with pytest.raises(ValueError, match=message):
        simulate(replace(CALM, incidents=(incident,)))
