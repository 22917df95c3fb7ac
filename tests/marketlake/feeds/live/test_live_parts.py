"""The parts of a feed that need no network: memory, waits, breaker, queue, states, plan."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from marketlake.contracts.events import Bar, Book, Trade
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.memory import ClosedBars, TradeHistory
from marketlake.feeds.live.outbox import Outbox
from marketlake.feeds.live.plan import parse_channels, parse_instruments, parse_venues
from marketlake.feeds.live.ports import FeedError, Subscription
from marketlake.feeds.live.retry import Backoff, CircuitBreaker
from marketlake.observability.feed_metrics import FeedMetrics

MINUTE_US = 60_000_000


def trade(number, time_us=1_000, trade_id="", price=1.0):
    return Trade("okx", "BTC-USDT", time_us, price, 1.0, trade_id or str(number))


def nameless(time_us, price=1.0):
    return Trade("okx", "BTC-USDT", time_us, price, 1.0)


def book(number, venue="okx"):
    return Book(venue, "BTC-USDT", number, [(1.0, 1.0)], [(2.0, 1.0)])


def bar(minute, close=1.0):
    return Bar("okx", "BTC-USDT", minute * MINUTE_US, "1m", 1.0, 2.0, 0.5, close, 3.0)


# ---- memory --------------------------------------------------------------------------------


def test_trades_are_known_by_their_id_within_the_window():
    history = TradeHistory(2, contiguous=False, begin_us=0)
    verdicts = [history.refuse(trade(n)) for n in (1, 2, 1, 3, 1)]
    # The window holds two: 1 went out of it when 3 came.
    assert verdicts == [None, None, "repeat", None, None]


def test_trades_without_id_repeat_only_what_a_connection_sends_again():
    history = TradeHistory(10, contiguous=False, begin_us=0)
    assert [history.refuse(nameless(t)) for t in (5, 5, 7)] == [None, None, None]
    history.reconnected()
    assert [history.refuse(nameless(t)) for t in (5, 7, 8, 8)] == ["repeat", "repeat", None, None]
    assert history.refuse(nameless(7, price=2.0)) is None  # missed while away


def test_holes_are_counted_once_and_late_trades_make_none():
    history = TradeHistory(100, contiguous=True, begin_us=0)
    missed = []
    for number in (10, 11, 15, 13, 16):
        assert history.refuse(trade(number)) is None
        missed.append(history.missed)
    assert missed == [0, 0, 3, 0, 0]


def test_trades_from_before_the_feed_are_history():
    history = TradeHistory(10, contiguous=True, begin_us=500)
    assert history.refuse(trade(1, time_us=499)) == "history"
    assert history.refuse(trade(5, time_us=500)) is None
    assert history.missed == 0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 30), max_size=80), st.lists(st.integers(0, 80), max_size=5))
def test_no_trade_is_given_twice_or_lost_however_connections_break(numbers, breaks):
    history = TradeHistory(1_000, contiguous=True, begin_us=0)
    taken = []
    for place, number in enumerate(numbers):
        if place in breaks:
            history.reconnected()
        if history.refuse(trade(number, time_us=number)) is None:
            taken.append(number)
    assert Counter(taken) == Counter(set(numbers))


def test_a_bar_is_closed_by_the_next_one():
    bars = ClosedBars(2 * MINUTE_US)
    assert bars.update([bar(1), bar(2, 1.0)]) == ([], ["history"])
    assert bars.update([bar(2, 1.5)]) == ([], [])
    assert bars.update([bar(2, 1.7), bar(3)]) == ([bar(2, 1.7)], [])
    assert bars.update([bar(2, 1.9)]) == ([], ["late_bar"])
    assert bars.update([bar(6)]) == ([bar(3)], [])


# ---- retry ---------------------------------------------------------------------------------


def test_waits_double_up_to_the_longest_and_are_spread_over_their_upper_half():
    least, most = (Backoff(1.0, 5.0, draw=lambda d=draw: d) for draw in (0.0, 1.0))
    assert [most.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert [least.next_s() for _ in range(4)] == [0.5, 1.0, 2.0, 2.5]
    most.reset()
    assert most.next_s() == 1.0


def test_the_breaker_opens_lets_one_attempt_through_and_closes():
    now = [0.0]
    breaker = CircuitBreaker(3, window_s=10, open_s=5, clock=lambda: now[0])
    breaker.failed()
    now[0] = 11.0  # the first is out of the window
    for _ in range(2):
        breaker.failed()
    assert breaker.state == "closed"
    breaker.failed()
    assert (breaker.state, breaker.wait_s) == ("open", 5.0)
    breaker.succeeded()  # what still came from before proves nothing
    assert breaker.state == "open"
    now[0] = 16.0
    assert (breaker.state, breaker.wait_s) == ("half_open", 0.0)
    breaker.failed()  # one is enough now
    assert breaker.state == "open"
    now[0] = 21.0
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.failed()
    assert breaker.state == "closed"


# ---- outbox --------------------------------------------------------------------------------


def test_books_give_way_and_trades_wait():
    ledger = Ledger(15)

    async def run():
        outbox = Outbox(3, ledger)
        for event in (trade(1), book(1), trade(2)):
            assert await outbox.put(event)
        assert await outbox.put(book(2))  # in the place of the first
        blocked = asyncio.create_task(outbox.put(trade(3)))
        other = asyncio.create_task(outbox.put(book(9, venue="kraken")))
        await asyncio.sleep(0.02)
        assert not blocked.done()
        assert not other.done()
        first = await outbox.take(2)
        await asyncio.gather(blocked, other)
        await outbox.close()
        return first, await outbox.take(10), await outbox.take(10)

    first, rest, after = asyncio.run(run())
    assert first == [trade(1), book(2)]
    assert rest == [trade(2), trade(3), book(9, venue="kraken")]
    assert after == []
    assert ledger.conflated == {("okx", "books"): 1}
    assert ledger.events == {("okx", "trades"): 3, ("okx", "books"): 1, ("kraken", "books"): 1}
    assert ledger.blocked_s > 0


def test_a_book_that_was_taken_is_not_replaced():
    async def run():
        outbox = Outbox(1, Ledger(15))
        await outbox.put(book(1))
        assert await outbox.take(1) == [book(1)]
        await outbox.put(book(2))
        await outbox.put(book(3))
        return await outbox.take(5)

    assert asyncio.run(run()) == [book(3)]


def test_it_takes_so_many_and_counts_what_comes_after():
    ledger = Ledger(15)

    async def run():
        outbox = Outbox(10, ledger, limit=2)
        return [await outbox.put(trade(n)) for n in range(4)], outbox.complete

    assert asyncio.run(run()) == ([True, True, False, False], True)
    assert ledger.skipped == {("okx", "after_end"): 2}


# ---- states --------------------------------------------------------------------------------


def test_a_channel_goes_through_its_states():
    now = [0.0]
    ledger = Ledger(stale_s=10, clock=lambda: now[0])
    ones = [Subscription("okx", f"{base}-USDT", "trades", base) for base in ("BTC", "ETH")]
    ledger.venue("okx")
    ledger.expect(ones)
    assert ledger.venue_states() == {"okx": "connecting"}
    for base in ("BTC", "ETH"):
        ledger.handed_on(Trade("okx", f"{base}-USDT", 1, 1.0, 1.0))
    assert ledger.channel_states() == {("okx", "trades"): {"live": 2}}
    ledger.trouble(ones[1], "gap")
    assert ledger.channel_states() == {("okx", "trades"): {"live": 1, "degraded": 1}}
    assert ledger.venue_states() == {"okx": "degraded"}
    ledger.handed_on(Trade("okx", "ETH-USDT", 1, 1.0, 1.0))
    now[0] = 11.0
    assert ledger.venue_states() == {"okx": "stale"}
    assert ledger.silent_s() == {("okx", "trades"): 11.0}
    ledger.lost("okx", "closed", "okx: closed", ones)
    assert ledger.venue_states() == {"okx": "connecting"}
    ledger.lost("okx", "closed", "okx: closed", ones[:1], broken=True)
    assert ledger.venue_states() == {"okx": "degraded"}
    ledger.lost("okx", "closed", "okx: closed", ones, broken=True)
    assert ledger.venue_states() == {"okx": "broken"}
    assert ledger.as_json()["venues"]["okx"]["error"] == "okx: closed"


def test_bars_are_not_stale_between_two_of_them():
    now = [0.0]
    ledger = Ledger(stale_s=10, bar_s=60, clock=lambda: now[0])
    ledger.handed_on(bar(1))
    now[0] = 129.0
    assert ledger.channel_states() == {("okx", "bars"): {"live": 1}}
    now[0] = 131.0
    assert ledger.channel_states() == {("okx", "bars"): {"stale": 1}}


# ---- plan ----------------------------------------------------------------------------------


def test_instruments_are_for_all_venues_or_for_one():
    assert parse_instruments("BTC-USDT, kraken/BTC-USD,BTC-USDT", ("okx", "kraken")) == {
        "okx": ("BTC-USDT",),
        "kraken": ("BTC-USDT", "BTC-USD"),
    }
    assert parse_channels("bars,trades") == ("trades", "bars")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parse_venues("binnance,okx"), "no live venue 'binnance'; near it: binance"),
        (lambda: parse_venues(" , "), "--venues names no venue"),
        (lambda: parse_channels("ticks"), "no channel 'ticks'; there are trades, quotes, books"),
        (lambda: parse_instruments("okx/BTC-USDT", ("okx", "kraken")), "nothing for kraken"),
        (lambda: parse_instruments("mexc/BTC-USDT", ("okx",)), "--venues lacks mexc"),
    ],
)
def test_what_cannot_be_meant_is_one_line(call, message):
    with pytest.raises(FeedError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---- metrics -------------------------------------------------------------------------------


def test_metrics_say_what_the_ledger_knows_and_the_page_lists_them_all():
    ledger = Ledger(15)
    ledger.venue("okx").connects = 2
    ledger.venue("okx").breakers["okx"] = "half_open"
    ledger.handed_on(trade(1))
    ledger.skip("okx", "repeat", 3)
    registry = CollectorRegistry()
    FeedMetrics(registry, ledger)

    def value(name, **labels):
        return registry.get_sample_value(f"marketlake_feed_{name}", labels)

    assert value("connects_total", venue="okx") == 2
    assert value("breaker_state", venue="okx") == 1
    assert value("events_total", venue="okx", channel="trades") == 1
    assert value("skipped_total", venue="okx", reason="repeat") == 3
    assert value("channel_instruments", venue="okx", channel="trades", state="live") == 1
    assert value("channel_instruments", venue="okx", channel="trades", state="broken") == 0
    page = (Path(__file__).parents[4] / "docs" / "feeds.md").read_text("utf-8")
    names = [
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
    ]
    assert [name for name in names if f"| `{name}` |" not in page] == []
