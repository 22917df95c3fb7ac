"""Alpaca's stream, spoken by a local server after its documentation."""

from __future__ import annotations

import asyncio
import json

import pytest

from marketlake.contracts.events import Bar, Quote, Trade
from marketlake.feeds.live.alpaca_protocol import event_of, symbol_of, time_us
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.ports import FeedError, SourceLostError, SourceRefusedError

from .local_venues import CLOSE, DROP, LocalVenues, Pause
from .watching import first_session, settings_for, source_of, supervise

pytest.importorskip("aiohttp")
KEY = ("key id", "very secret")
TRADE = {
    "T": "t", "i": 96921, "S": "AAPL", "x": "D", "p": 126.55, "s": 1,
    "t": "2021-02-22T15:51:44.208123987Z", "c": ["@", "I"], "z": "C",
}  # fmt: skip
QUOTE = {
    "T": "q", "S": "AAPL", "bx": "U", "bp": 87.66, "bs": 1, "ax": "Q", "ap": 87.68, "as": 4,
    "t": "2021-02-22T15:51:45.335689322Z", "c": ["R"], "z": "C",
}  # fmt: skip
BAR = {
    "T": "b", "S": "AAPL", "o": 388.985, "h": 389.13, "l": 388.975, "c": 389.12, "v": 49378,
    "n": 461, "vw": 389.062639, "t": "2021-02-22T19:15:00Z",
}  # fmt: skip


@pytest.fixture
def server():
    with LocalVenues() as running:
        yield running


@pytest.fixture
def ledger():
    return Ledger(15)


def alpaca(server, ledger, *channels, credentials=KEY, **changes):
    settings = settings_for(server, "alpaca", **changes)
    return settings, source_of(
        settings, ledger, "alpaca", "AAPL-USD", *channels, credentials=credentials
    )


def test_trades_quotes_and_bars(server, ledger):
    server.play("stocks", [[TRADE, QUOTE], [BAR], Pause(0.1), CLOSE])
    _, source = alpaca(server, ledger, "trades", "quotes", "books", "bars")
    events, error = first_session(source)
    assert isinstance(error, SourceLostError)
    received = [event.received_time_us for event in events]
    # 2021-02-22T15:51:44 is 1614009104 s after the epoch.
    assert events == [
        Trade(
            "alpaca", "AAPL-USD", 1_614_009_104_208_123, 126.55, 1.0, "D96921", None,
            received_time_us=received[0],
        ),
        Quote(
            "alpaca", "AAPL-USD", 1_614_009_105_335_689, 87.66, 100.0, 87.68, 400.0,
            received_time_us=received[1],
        ),
        Bar(
            "alpaca", "AAPL-USD", 1_614_021_300_000_000, "1m", 388.985, 389.13, 388.975, 389.12,
            49_378.0, 461, received_time_us=received[2],
        ),
    ]  # fmt: skip
    assert [said for _, said in server.heard] == [
        {"action": "auth", "key": "key id", "secret": "very secret"},
        {"action": "subscribe", "trades": ["AAPL"], "quotes": ["AAPL"], "bars": ["AAPL"]},
    ]
    assert [(s.channel, s.symbol) for s in source.subscriptions] == [
        ("trades", "AAPL"), ("quotes", "AAPL"), ("bars", "AAPL")
    ]  # fmt: skip


def test_wrong_credentials_are_refused_for_good_and_not_shown(server, ledger, caplog):
    settings, source = alpaca(server, ledger, "trades", credentials=("key id", "wrong secret"))
    supervise(source, settings, ledger, lambda _: ledger.venue("alpaca").refused)
    assert ledger.venue("alpaca").error == "alpaca: auth failed (error 402)"
    assert ledger.venue("alpaca").connects == 1
    assert ledger.venue_states() == {"alpaca": "broken"}
    seen = caplog.text + json.dumps(ledger.as_json()) + str([r.__dict__ for r in caplog.records])
    assert "wrong secret" not in seen
    assert "key id" not in seen


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (404, "auth timeout", SourceLostError),
        (405, "symbol limit exceeded", SourceRefusedError),
        (406, "connection limit exceeded", SourceLostError),
        (407, "slow client", SourceLostError),
        (409, "insufficient subscription", SourceRefusedError),
        (500, "internal error", SourceLostError),
    ],
)
def test_an_error_is_one_line_that_ends_the_session(server, ledger, code, message, kind):
    server.play("stocks", [[{"T": "error", "code": code, "msg": message}]])
    _, source = alpaca(server, ledger, "trades")
    events, error = first_session(source)
    assert events == []
    assert type(error) is kind
    assert str(error) == f"alpaca: {message} (error {code})"


def test_a_lost_connection_is_made_again_and_repeats_are_left_out(server, ledger):
    server.play(
        "stocks",
        [[TRADE], "{no json", '{"T":"t"}', [{"T": "t", "S": "AAPL"}], Pause(0.1), DROP],
        [[TRADE], [{**TRADE, "i": 2}], [{"T": "c", "S": "AAPL"}], [{**TRADE, "S": "MSFT"}]],
    )
    settings, source = alpaca(server, ledger, "trades")
    events = supervise(
        source,
        settings,
        ledger,
        lambda found: len(found) >= 2 and ledger.skipped["alpaca", "unknown_instrument"],
    )
    assert [event.trade_id for event in events] == ["D96921", "D2"]
    skipped = {reason: n for (_, reason), n in ledger.skipped.items()}
    assert skipped.pop("subscription") == 6
    assert skipped == {
        "unreadable": 2,
        "malformed": 1,
        "repeat": 1,
        "correction": 1,
        "unknown_instrument": 1,
    }


def test_a_server_that_says_nothing_is_given_up(server, ledger):
    # No dialect is spoken there: the greeting never comes.
    _, source = alpaca(server, ledger, "trades", connect_timeout_ms=1_000)
    source._address = source._address.replace("stream.data.alpaca.markets", "ws.okx.com:443")
    _, error = first_session(source)
    assert str(error) == "alpaca: no answer within 1 s"


@pytest.mark.parametrize(
    ("instrument", "credentials", "message"),
    [
        ("AAPL-USDT", KEY, "alpaca has no AAPL-USDT: stocks are written TICKER-USD"),
        ("aapl-USD", KEY, "alpaca has no aapl-USD"),
        ("AAPL-USD", None, "set APCA_API_KEY_ID and APCA_API_SECRET_KEY in the environment"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_connected(
    server, ledger, instrument, credentials, message
):
    settings = settings_for(server, "alpaca")
    source = source_of(settings, ledger, "alpaca", instrument, "trades", credentials=credentials)
    with pytest.raises(FeedError, match=message):
        asyncio.run(source.prepare())
    assert server.connections.total() == 0


def test_times_keep_their_microseconds():
    assert time_us("1970-01-01T00:00:01.123456789Z") == 1_123_456
    assert time_us("1970-01-01T00:00:01.1Z") == 1_100_000
    assert time_us("1970-01-01T00:00:01Z") == 1_000_000


def test_symbols():
    assert symbol_of("AAPL-USD") == "AAPL"
    assert [symbol_of(name) for name in ("BRK.B-USD", "AAPL", "AAPL-EUR", "-USD")] == [None] * 4


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"T": "u"}, "late_bar"),
        ({"T": "x"}, "cancelled_trade"),
        ({"T": "s"}, "status"),
        ({**TRADE, "T": "new"}, "unsupported_channel"),
        ({**QUOTE, "bp": 90}, "crossed"),
        ({**QUOTE, "as": 0}, "one_sided"),
    ],
)
def test_what_gives_no_event_has_a_reason(message, reason):
    assert event_of(message, 100.0, 1) == reason
