"""ccxt's own client against venues that drop, lose, repeat, babble and fall silent."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import aclosing

import pytest

from marketlake.contracts.events import Bar, Book, Trade
from marketlake.feeds.live.ccxt_channels import Watched
from marketlake.feeds.live.ccxt_session import CcxtSession
from marketlake.feeds.live.ccxt_source import CcxtSource
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.ports import SourceLostError
from marketlake.feeds.live.venues import LIVE_VENUES

from .frames import (
    TIME_MS,
    binance_kline,
    binance_trade,
    kraken_trade,
    okx_book,
    okx_trade,
)
from .local_venues import (
    CLOSE,
    DROP,
    Pause,
)
from .watching import first_session, settings_for, source_of, supervise

pytest.importorskip("ccxt")
GARBAGE = [
    '{"e":"trade","s":',
    "[]",
    "0",
    '"text"',
    "null",
    "{}",
    '{"e":{}}',
    b"\xff\xfe",
    "[[[1]]]",
]


@pytest.fixture
def ledger():
    return Ledger(15)


def ids(events):
    return [int(event.trade_id) for event in events if isinstance(event, Trade)]


# ---- connections ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [DROP, CLOSE])
def test_a_lost_connection_is_made_again_and_nothing_is_given_twice(server, ledger, ending):
    server.play(
        "btcusdt@trade",
        [binance_trade(1), binance_trade(2), Pause(0.1), ending],
        [binance_trade(1), binance_trade(2), binance_trade(3)],
    )
    settings = settings_for(server, "binance")
    source = source_of(settings, ledger, "binance", "BTC-USDT", "trades")
    events = supervise(source, settings, ledger, lambda found: len(found) >= 3)
    assert ids(events) == [1, 2, 3]
    assert ledger.skipped["binance", "repeat"] == 2
    assert ledger.failures.total() == 1
    assert ledger.venue("binance").connects == 2
    assert ledger.missed_trades["binance"] == 0


def test_a_burst_read_at_one_stretch_with_the_end_of_its_connection_is_given(server, ledger):
    server.play("btcusdt@trade", [binance_trade(1)])
    settings = settings_for(server, "binance")
    source = source_of(settings, ledger, "binance", "BTC-USDT", "trades")
    taken, ended = [], []

    async def run():
        await source.prepare()
        watched = Watched(
            source._place, "binance", source._listings, source.subscriptions, source._loaded
        )
        session = CcxtSession(watched, settings, ledger, source._memory)
        async with aclosing(session.events()) as events:
            taken.append(await anext(events))
            [client] = session._exchange.clients.values()
            for number in range(2, 5_001):
                client.handle_text_or_binary_message(json.dumps(binance_trade(number)))
            client.on_close(1006)
            try:
                async for event in events:
                    taken.append(event)  # noqa: PERF401 - it ends by an error
            except SourceLostError as error:
                ended.append(str(error))
        await session.close()

    asyncio.run(run())
    assert ended == ["binance: the venue closed the connection"]
    assert ids(taken) == list(range(1, 5_001))
    assert ledger.skipped.total() == 0


def test_trades_missed_while_away_are_counted(server, ledger):
    server.play(
        "btcusdt@trade",
        [binance_trade(1), binance_trade(2), Pause(0.1), DROP],
        [binance_trade(7), binance_trade(8)],
    )
    settings = settings_for(server, "binance")
    source = source_of(settings, ledger, "binance", "BTC-USDT", "trades")
    assert ids(supervise(source, settings, ledger, lambda found: len(found) >= 4)) == [1, 2, 7, 8]
    assert ledger.missed_trades["binance"] == 4
    assert ledger.gaps["binance", "trades"] == 1


def test_silence_ends_a_connection(server, ledger):
    server.play("trades:BTC-USDT", [okx_trade(1), Pause(60)], [okx_trade(1), okx_trade(2)])
    settings = settings_for(server, "okx", silence_ms=400)
    source = source_of(settings, ledger, "okx", "BTC-USDT", "trades")
    assert ids(supervise(source, settings, ledger, lambda found: len(found) >= 2)) == [1, 2]
    assert ledger.failures["okx", "silent"] >= 1
    assert "no message for 0.4 s" in ledger.venue("okx").error


def test_a_book_that_stays_still_while_trades_go_on_ends_a_connection(server, ledger):
    beat = [frame for n in range(1, 100) for frame in (okx_trade(n), Pause(0.05))]
    server.play("trades:BTC-USDT", beat)
    server.play("books:BTC-USDT", [okx_book(5, -1, [["100", "1"]], [["101", "1"]])])
    settings = settings_for(server, "okx", channel_silence_ms=500)
    source = source_of(settings, ledger, "okx", "BTC-USDT", "trades", "books")
    events, error = first_session(source)
    assert str(error) == "okx: no books of BTC-USDT for 0.5 s"
    assert any(isinstance(event, Book) for event in events)


def test_a_venue_that_is_not_there_is_left_alone_after_some_attempts(server, ledger):
    del server.rest["api.kraken.com/0/public/AssetPairs"]
    settings = settings_for(server, "kraken", breaker_failures=3, breaker_open_ms=60_000)
    source = source_of(settings, ledger, "kraken", "BTC-USD", "trades")
    supervise(source, settings, ledger, lambda _: ledger.venue("kraken").breaker == "open")
    assert ledger.failures == {("kraken", "unreachable"): 3}
    assert ledger.venue_states() == {"kraken": "broken"}
    assert "its markets cannot be loaded" in ledger.venue("kraken").error
    assert "\n" not in ledger.venue("kraken").error


# ---- frames --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "instrument", "stream", "sound"),
    [
        ("binance", "BTC-USDT", "btcusdt@trade", [binance_trade(1), binance_trade(2)]),
        ("okx", "BTC-USDT", "trades:BTC-USDT", [okx_trade(1), okx_trade(2)]),
        (
            "kraken",
            "BTC-USD",
            "trade:BTC/USD",
            [kraken_trade(n, f"2023-11-14T22:13:20.00000{n}Z") for n in (1, 2)],
        ),
    ],
)
def test_garbage_is_counted_and_does_not_end_the_reading(
    server, ledger, venue, instrument, stream, sound
):
    server.play(stream, [*GARBAGE, sound[0], *GARBAGE, sound[1], Pause(0.2), CLOSE])
    source = source_of(settings_for(server, venue), ledger, venue, instrument, "trades")
    events, error = first_session(source)
    assert "closed the connection" in str(error)
    assert ids(events) == [1, 2]
    # What is no JSON at all cannot be read by any class.
    assert ledger.skipped[venue, "unreadable"] >= 4
    assert ledger.frames[venue] >= 2 + 2 * len(GARBAGE)


def test_garbage_costs_the_connection_where_nothing_would_tell_of_a_lost_change(server, ledger):
    server.play("trades:BTC-USDT", [okx_trade(1), Pause(0.1), "{garbage"], [okx_trade(2)])
    unchecked = dataclasses.replace(LIVE_VENUES["okx"], book_check="none")
    settings = settings_for(server, "okx")
    source = CcxtSource(unchecked, "okx", ["BTC-USDT"], ["trades"], settings, ledger)
    assert ids(supervise(source, settings, ledger, lambda found: len(found) >= 2)) == [1, 2]
    assert ledger.failures == {("okx", "malformed"): 1}


def test_a_trade_without_numbers_is_counted(server, ledger):
    bad = [binance_trade(2, price=text) for text in ("", "0", "-1", "abc")]
    server.play("btcusdt@trade", [binance_trade(1), *bad, binance_trade(3), Pause(0.2), CLOSE])
    source = source_of(settings_for(server, "binance"), ledger, "binance", "BTC-USDT", "trades")
    events, _ = first_session(source)
    assert ids(events) == [1, 3]
    assert ledger.skipped["binance", "malformed"] + ledger.skipped["binance", "unreadable"] == 4


def test_what_is_no_execution_against_the_book_is_counted_and_leaves_no_hole(server, ledger):
    fund = {**binance_trade(2), "X": "INSURANCE_FUND"}
    sound = [{**binance_trade(n), "X": "MARKET"} for n in (1, 3)]
    server.play("btcusdt@trade", [sound[0], fund, sound[1], Pause(0.2), CLOSE])
    source = source_of(
        settings_for(server, "binance"), ledger, "binance", "BTC-USDT-PERP", "trades"
    )
    events, _ = first_session(source)
    assert ids(events) == [1, 3]
    assert ledger.skipped["binance", "off_book_trade"] == 1
    assert ledger.missed_trades["binance"] == 0


def test_an_old_trade_is_history_and_no_news(server, ledger):
    server.play("btcusdt@trade", [binance_trade(1), Pause(0.2), CLOSE])
    settings = settings_for(server, "binance", history_ms=60_000)
    events, _ = first_session(source_of(settings, ledger, "binance", "BTC-USDT", "trades"))
    assert events == []
    assert ledger.skipped["binance", "history"] == 1


# ---- units, times, bars --------------------------------------------------------------------


def test_a_trade_of_each_venue_in_full(server, ledger):
    server.play("btcusdt@trade", [binance_trade(7), Pause(0.2), CLOSE])
    server.play("trades:BTC-USDT-SWAP", [okx_trade(8, "BTC-USDT-SWAP", "3"), Pause(0.2), CLOSE])
    server.play(
        "trade:BTC/USD", [kraken_trade(9, "2023-11-14T22:13:20.123456Z"), Pause(0.2), CLOSE]
    )
    found = {}
    for venue, instrument in (
        ("binance", "BTC-USDT"),
        ("okx", "BTC-USDT-PERP"),
        ("kraken", "BTC-USD"),
    ):
        source = source_of(settings_for(server, venue), ledger, venue, instrument, "trades")
        [found[venue]], _ = first_session(source)
    received = {venue: trade.received_time_us for venue, trade in found.items()}
    base_us = TIME_MS * 1_000
    assert found["binance"] == Trade(
        "binance", "BTC-USDT", base_us + 7_000, 100.5, 0.25, "7", "sell", 7, received["binance"]
    )
    # Contracts, as the reference table has them: 0.01 BTC each.
    assert found["okx"] == Trade(
        "okx", "BTC-USDT-PERP", base_us + 8_000, 100.5, 3.0, "8", "buy", None, received["okx"]
    )
    assert found["kraken"] == Trade(
        "kraken", "BTC-USD", base_us + 123_456, 100.2, 0.3, "9", "sell", 9, received["kraken"]
    )


def test_a_bar_is_given_once_when_the_next_has_begun(server, ledger):
    minute = TIME_MS // 60_000 * 60
    server.play(
        "btcusdt@kline_1m",
        [
            binance_kline(minute, "100.0"), binance_kline(minute, "101.0"),
            binance_kline(minute + 60, "102.0"), Pause(0.1),
            binance_kline(minute + 120, "103.0"), Pause(0.2), CLOSE,
        ],
    )  # fmt: skip
    source = source_of(settings_for(server, "binance"), ledger, "binance", "BTC-USDT", "bars")
    bars, _ = first_session(source)
    assert [(bar.event_time_us, bar.close) for bar in bars] == [
        (minute * 1_000_000, 101.0),
        ((minute + 60) * 1_000_000, 102.0),
    ]
    assert bars[0] == Bar(
        "binance", "BTC-USDT", minute * 1_000_000, "1m", 100.0, 105.0, 95.0, 101.0, 7.5,
        received_time_us=bars[0].received_time_us,
    )  # fmt: skip
