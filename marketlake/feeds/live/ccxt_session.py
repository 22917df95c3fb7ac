"""One life of the connections to a venue: channels watched side by side until one is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

from marketlake.contracts.events import Event
from marketlake.feeds.live.ccxt_channels import MALFORMED, CcxtChannels, Watched
from marketlake.feeds.live.ccxt_client import Taps, load_ccxt, make_exchange, one_line
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.memory import Memory
from marketlake.feeds.live.ports import Subscription
from marketlake.settings.model import FeedSettings

_QUEUE: Final = 1_000
"""Events of one venue on their way to the outbox; where they do not fit, reading stops."""
_ERRORS_MAX: Final = 5
"""Errors of a channel in a row after which it is given up for this session."""
_LOOK_S: Final = 0.25
_RETRY_MAX_S: Final = 10.0


class CcxtSession:
    """Watches every channel in a task of its own; the first loss ends all.

    A new exchange object serves each session, so that nothing of a lost connection lives on: every
    book begins with a snapshot.
    """

    def __init__(
        self, watched: Watched, settings: FeedSettings, ledger: Ledger, memory: Memory
    ) -> None:
        self._venue = watched.venue
        self._watched = watched
        self._settings = settings
        self._ledger = ledger
        self._taps = Taps(self._venue, ledger, time.monotonic)
        self._taps.book_symbols = {
            one.symbol for one in watched.subscriptions if one.channel == "books"
        }
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)
        self._tasks: list[asyncio.Task[None]] = []
        self._spoke_s: dict[Subscription, float] = {}
        self._given_up: set[Subscription] = set()
        self._errors = load_ccxt()
        self._exchange = make_exchange(watched.ccxt_class, self._venue, settings, self._taps)
        self._exchange.set_markets_from_exchange(watched.loaded)
        self._taps.held_up = self._held_up
        self._channels = CcxtChannels(
            watched, settings, ledger, memory, self._exchange, self._taps, self._give
        )

    async def events(self) -> AsyncGenerator[Event, None]:
        """Give events until the session is lost.

        Raises
        ------
        SourceLostError
            After the last event that came.
        """
        self._tasks += [
            asyncio.create_task(self._subscribe()),
            asyncio.create_task(self._listen_for_silence()),
        ]
        ended = asyncio.create_task(self._ended())
        self._tasks.append(ended)
        while True:
            while not self._queue.empty():
                yield self._queue.get_nowait()
            if ended.done():
                raise self._taps.lost.result()
            waiting = asyncio.ensure_future(self._queue.get())
            ends: list[asyncio.Future[Any]] = [waiting, ended]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                if not waiting.cancel():
                    self._ledger.skip(self._venue.name, "after_end")
                raise
            if not waiting.done():
                waiting.cancel()
            if waiting.done() and not waiting.cancelled():
                yield waiting.result()

    async def _ended(self) -> None:
        """Wait until the session is lost, and until the trades that came before are in the queue.

        A burst and the end of its connection may be read at one stretch.
        """
        await asyncio.wait([self._taps.lost])
        for one in self._watched.subscriptions:
            if one.channel == "trades":
                await self._channels.give_held(one)
        while self._channels.taken:
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Close the connections and end what runs; what was not given any more is counted."""
        left = self._waiting()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if left:
            self._ledger.skip(self._venue.name, "after_end", left)
        with suppress(Exception):
            await self._exchange.close()

    async def _give(self, one: Subscription, event: Event) -> None:
        self._spoke_s[one] = time.monotonic()
        await self._queue.put(event)

    def _held_up(self) -> bool:
        return self._waiting() >= _QUEUE

    def _waiting(self) -> int:
        """Count what came and was not given yet: in the queue, with ccxt, in between."""
        cached = sum(len(trades) for trades in self._exchange.trades.values())
        return self._queue.qsize() + self._channels.taken + cached

    # ---- channels ---------------------------------------------------------------------------

    async def _subscribe(self) -> None:
        """Begin the channels, at the pace that the settings allow."""
        for one in self._watched.subscriptions:
            self._tasks.append(asyncio.create_task(self._run(one)))
            await asyncio.sleep(1.0 / self._settings.subscriptions_per_s)

    async def _run(self, one: Subscription) -> None:
        """Watch a channel until the session ends or it is given up."""
        self._spoke_s[one] = time.monotonic()
        errors = 0
        while errors < _ERRORS_MAX:
            if await self._looked(one):
                errors = 0
                continue
            if self._taps.lost.done():
                return
            errors += 1
            wait_s = self._settings.backoff_first_ms / 1_000 * 2 ** (errors - 1)
            await asyncio.sleep(min(wait_s, _RETRY_MAX_S))
        self._give_up(one)

    async def _looked(self, one: Subscription) -> bool:
        """Watch a channel for one update; False where that failed, and was noted."""
        ccxt = self._errors
        try:
            await self._channels.watch(one)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # ccxt cancels those who wait for a connection that it closes.
            self._taps.end("network", "ccxt closed the connection")
        except (ccxt.ChecksumError, ccxt.InvalidNonce) as error:
            # ccxt has dropped the book; watching again subscribes and takes a new snapshot.
            self._ledger.gaps[one.venue, one.channel] += 1
            self._ledger.trouble(one, one_line(error))
        except ccxt.NetworkError as error:
            self._taps.end("network", one_line(error))
        except ccxt.BaseError as error:
            self._ledger.skip(one.venue, "channel_error")
            self._ledger.trouble(one, one_line(error))
        except MALFORMED as error:
            self._ledger.skip(one.venue, "malformed")
            self._ledger.trouble(one, one_line(error))
        else:
            return True
        return False

    def _give_up(self, one: Subscription) -> None:
        """Leave a channel alone until the next session, which is at once if it was the last."""
        self._given_up.add(one)
        self._ledger.trouble(one, "given up", broken=True)
        if len(self._given_up) == len(self._watched.subscriptions):
            self._taps.end("refused", "every subscription fails")

    # ---- silence ----------------------------------------------------------------------------

    async def _listen_for_silence(self) -> None:
        """End the session where a connection, or a channel that ought to speak, is silent."""
        silence_s = self._settings.silence_ms / 1_000
        channel_s = self._settings.channel_silence_ms / 1_000
        while True:
            await asyncio.sleep(min(_LOOK_S, silence_s / 4))
            now_s = time.monotonic()
            if self._held_up():
                # The silence is ours.
                self._taps.last_message_s.update(dict.fromkeys(self._taps.last_message_s, now_s))
                self._spoke_s.update(dict.fromkeys(self._spoke_s, now_s))
                continue
            for url, spoke_s in self._taps.last_message_s.items():
                if now_s - spoke_s > silence_s:
                    self._taps.end("silent", f"no message for {silence_s:g} s from {url}")
            for one, spoke_s in self._spoke_s.items():
                if one.channel not in ("quotes", "books") or one in self._given_up:
                    continue
                if channel_s and now_s - spoke_s > channel_s:
                    self._taps.end(
                        "silent", f"no {one.channel} of {one.instrument} for {channel_s:g} s"
                    )
