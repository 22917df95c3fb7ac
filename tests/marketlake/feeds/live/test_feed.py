"""A feed as a whole: a slow target holds up its sources, one bad venue holds up nobody."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from marketlake.feeds.live.feed import Feed, prepare_all
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.plan import make_sources
from marketlake.feeds.live.ports import FeedError
from marketlake.feeds.publish import DeliveryError

from .frames import binance_trade, okx_trade
from .local_venues import Pause
from .watching import settings_for

pytest.importorskip("ccxt")


class Collected:
    """A target that keeps what it gets, as slow as it is told to be."""

    def __init__(self, flush_s=0.0, fail_after=None, frames=lambda: 0):
        self.messages = []
        self.most_ahead = 0
        self._frames = frames
        self.closed = False
        self._flush_s = flush_s
        self._fail_after = fail_after

    def publish(self, event_type, key, value, timestamp_us):
        self.messages.append((event_type, key, value, timestamp_us))

    def flush(self):
        time.sleep(self._flush_s)
        self.most_ahead = max(self.most_ahead, self._frames() - len(self.messages))
        if self._fail_after is not None and len(self.messages) >= self._fail_after:
            raise DeliveryError("the target is gone")

    def close(self):
        self.flush()
        self.closed = True


def run_feed(sources, publisher, settings, ledger, max_events=None, duration_s=20.0):
    async def run():
        feed = Feed(sources, settings, ledger, max_events)
        asyncio.get_running_loop().call_later(duration_s, feed.stop)
        await prepare_all(sources, ledger)
        await feed.run(publisher)

    asyncio.run(run())


def test_a_slow_target_loses_nothing_and_stops_the_reading(server):
    count = 12_000
    server.play("btcusdt@trade", [binance_trade(n) for n in range(1, count + 1)])
    settings = settings_for(server, "binance", queue_events=500, batch_events=1_000)
    ledger = Ledger(15)
    target = Collected(flush_s=0.25, frames=lambda: ledger.frames["binance"])
    sources = make_sources({"binance": ("BTC-USDT",)}, ("trades",), settings, ledger, None)
    run_feed(sources, target, settings, ledger, max_events=count, duration_s=60)
    numbers = [int(msgspec.json.decode(value)["trade_id"]) for _, _, value, _ in target.messages]
    assert numbers == list(range(1, count + 1))
    assert ledger.published == {"trades": count}
    assert ledger.missed_trades.total() == 0
    # Twelve batches, a quarter of a second each, less what is read meanwhile.
    assert ledger.blocked_s > 0.5
    # What was read but not published: some reads of the socket, and not all that there is.
    assert 1_000 < target.most_ahead < 2 * count / 3
    assert target.closed
    assert {(kind, key) for kind, key, _, _ in target.messages} == {("trade", b"BTC-USDT")}


def test_a_venue_that_is_down_does_not_stop_the_others(server):
    del server.rest["api.kraken.com/0/public/AssetPairs"]
    server.play(
        "trades:BTC-USDT", [frame for n in range(9) for frame in (okx_trade(n), Pause(0.6))]
    )
    settings = settings_for(server, "okx", "kraken", breaker_failures=2)
    ledger, target = Ledger(15), Collected()
    wanted = {"kraken": ("BTC-USD",), "okx": ("BTC-USDT",)}
    sources = make_sources(wanted, ("trades",), settings, ledger, None)
    run_feed(sources, target, settings, ledger, max_events=9)
    assert len(target.messages) == 9
    # Once when the markets were asked for, then until the breaker opened.
    assert ledger.failures["kraken", "unreachable"] == 1 + 2
    assert ledger.venue("kraken").breaker == "open"
    assert ledger.venue_states() == {"okx": "live", "kraken": "broken"}


def test_a_target_that_fails_ends_the_feed_with_its_error(server):
    server.play("trades:BTC-USDT", [okx_trade(n) for n in range(20)])
    settings = settings_for(server, "okx")
    ledger = Ledger(15)
    sources = make_sources({"okx": ("BTC-USDT",)}, ("trades",), settings, ledger, None)
    target = Collected(fail_after=5)
    with pytest.raises(DeliveryError, match="the target is gone") as failed:
        run_feed(sources, target, settings, ledger)
    # Nothing was acknowledged of what it got with the call that failed, and of what came after.
    taken, left = ledger.events.total(), ledger.events.total() - ledger.published.total()
    assert str(failed.value).endswith(f"; of {taken} events {left} were not acknowledged")
    assert 0 < left <= taken <= 20


def test_a_feed_whose_venues_all_refuse_ends_with_the_reason(server):
    settings = settings_for(server, "alpaca")
    ledger = Ledger(15)
    credentials = ("key id", "wrong")
    sources = make_sources({"alpaca": ("AAPL-USD",)}, ("trades",), settings, ledger, credentials)
    with pytest.raises(FeedError, match=r"alpaca: auth failed \(error 402\)"):
        run_feed(sources, Collected(), settings, ledger)


def test_instruments_that_are_not_there_are_told_together_before_a_socket_is_opened(server):
    settings = settings_for(server, "okx", "kraken")
    ledger = Ledger(15)
    wanted = {"kraken": ("BTC-USDC",), "okx": ("BTC-USDC", "BTC-USDT")}
    sources = make_sources(wanted, ("trades",), settings, ledger, None)
    line = "kraken has no BTC-USDC; near it: BTC-USD; okx has no BTC-USDC; near it: BTC-USDT"
    with pytest.raises(FeedError, match=line):
        run_feed(sources, Collected(), settings, ledger)
    assert server.connections.total() == 0
