"""US equities from Alpaca's market data stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from marketlake.contracts.events import INTERVAL_US, Event, Trade
from marketlake.feeds.live.alpaca_protocol import (
    BAR_INTERVAL,
    FOR_GOOD,
    VENUE,
    event_of,
    symbol_of,
)
from marketlake.feeds.live.ccxt_client import INSTALL, now_us, one_line, through_gateway
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.memory import Memory
from marketlake.feeds.live.ports import (
    Channel,
    FeedError,
    SourceLostError,
    SourceRefusedError,
    Subscription,
)
from marketlake.settings.model import FeedSettings

_ADDRESS: Final = "wss://stream.data.alpaca.markets/v2/"
_CHANNELS: Final[tuple[Channel, ...]] = ("trades", "quotes", "bars")
_MALFORMED: Final = (KeyError, TypeError, ValueError, AttributeError)
_CREDENTIALS: Final = (
    "alpaca: set APCA_API_KEY_ID and APCA_API_SECRET_KEY in the environment, as Alpaca gives them"
)


class AlpacaSource:
    """Trades, quotes and minute bars of US stocks; Alpaca has no books.

    Markets close: that nothing comes is no fault here. Whether the connection lives is asked by
    pings of the protocol.

    Parameters
    ----------
    credentials : tuple of str or None
        Key id and secret. They are sent to Alpaca and go nowhere else.
    """

    venue = VENUE
    part = VENUE

    def __init__(
        self,
        instruments: Sequence[str],
        channels: Sequence[Channel],
        settings: FeedSettings,
        ledger: Ledger,
        credentials: tuple[str, str] | None,
    ) -> None:
        try:
            import aiohttp
        except ImportError:
            raise FeedError(INSTALL) from None
        self._http: Any = aiohttp
        self._instruments = tuple(instruments)
        self._channels = tuple(c for c in channels if c in _CHANNELS)
        self._settings = settings
        self._ledger = ledger
        self._credentials = credentials
        self._symbols: dict[str, str] = {}
        self._memory = Memory(
            repeat_trades=settings.repeat_trades,
            contiguous_ids=False,
            begin_us=now_us() - 1_000 * settings.history_ms,
            bar_us=INTERVAL_US[BAR_INTERVAL],
        )
        gateway = settings.gateways.get(VENUE)
        address = _ADDRESS + settings.alpaca_feed
        self._address = address if gateway is None else through_gateway(address, gateway)

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """See :class:`LiveSource`."""
        return [
            Subscription(VENUE, instrument, channel, symbol)
            for instrument, symbol in self._symbols.items()
            for channel in self._channels
        ]

    async def prepare(self) -> None:
        """See :meth:`LiveSource.prepare`; whether a symbol is listed, only the stream tells."""
        wrong = [name for name in self._instruments if symbol_of(name) is None]
        if wrong:
            raise FeedError(
                f"alpaca has no {', '.join(wrong)}: stocks are written TICKER-USD, as AAPL-USD"
            )
        if self._credentials is None:
            raise FeedError(_CREDENTIALS)
        self._symbols = {name: str(symbol_of(name)) for name in self._instruments}
        self._ledger.expect(self.subscriptions)

    async def close(self) -> None:
        """See :class:`LiveSource`."""

    async def events(self) -> AsyncGenerator[Event, None]:
        """See :meth:`LiveSource.events`."""
        await self.prepare()
        self._memory.reconnected()
        limit_s = self._settings.connect_timeout_ms / 1_000
        try:
            async with self._connected() as socket:
                async with asyncio.timeout(limit_s):
                    await self._greet(socket)
                while True:
                    for event in self._events_of(await self._frame(socket)):
                        yield event
        except TimeoutError:
            raise SourceLostError("silent", f"alpaca: no answer within {limit_s:g} s") from None
        except (self._http.ClientError, OSError) as error:
            raise SourceLostError("network", f"alpaca: {one_line(error)}") from None

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Any, None]:
        limit = self._http.ClientTimeout(
            total=None, connect=self._settings.connect_timeout_ms / 1_000
        )
        async with (
            self._http.ClientSession(timeout=limit) as session,
            session.ws_connect(
                self._address, heartbeat=self._settings.silence_ms / 2_000, max_msg_size=0
            ) as socket,
        ):
            yield socket

    async def _greet(self, socket: Any) -> None:
        """Sign in and subscribe."""
        self._expect(await self._frame(socket), "connected")
        key, secret = self._credentials or ("", "")
        await socket.send_str(_json({"action": "auth", "key": key, "secret": secret}))
        self._expect(await self._frame(socket), "authenticated")
        symbols = list(self._symbols.values())
        await socket.send_str(
            _json({"action": "subscribe", **dict.fromkeys(self._channels, symbols)})
        )

    def _expect(self, frame: list[Any], greeting: str) -> None:
        for message in frame:
            self._raise_error(message)
            if message.get("T") == "success" and message.get("msg") == greeting:
                self._ledger.skip(VENUE, "subscription")
                return
        raise SourceLostError("malformed", f"alpaca: {greeting!r} was expected, another came")

    async def _frame(self, socket: Any) -> list[Any]:
        """Give the messages of the next frame; none where it cannot be read, which is counted."""
        message = await socket.receive()
        if message.type not in (self._http.WSMsgType.TEXT, self._http.WSMsgType.BINARY):
            raise SourceLostError("closed", "alpaca: the connection was closed")
        self._ledger.frames[VENUE] += 1
        try:
            frame = msgspec.json.decode(message.data)
        except (msgspec.DecodeError, ValueError):
            frame = None
        if not isinstance(frame, list) or not all(isinstance(m, dict) for m in frame):
            self._ledger.skip(VENUE, "unreadable")
            return []
        return frame

    def _events_of(self, frame: list[Any]) -> list[Event]:
        """Make the events of a frame; whatever gives none is counted."""
        received_us = now_us()
        found: list[Event] = []
        for message in frame:
            self._raise_error(message)
            try:
                made = event_of(message, self._settings.alpaca_lot_size, received_us)
            except _MALFORMED:
                made = "malformed"
            if not isinstance(made, str) and made.instrument not in self._symbols:
                made = "unknown_instrument"
            if isinstance(made, Trade):
                made = self._memory.trades(made.instrument).refuse(made) or made
            if isinstance(made, str):
                self._ledger.skip(VENUE, made)
            else:
                found.append(made)
        return found

    @staticmethod
    def _raise_error(message: dict[str, Any]) -> None:
        if message.get("T") != "error":
            return
        code, text = message.get("code"), message.get("msg")
        line = f"alpaca: {text} (error {code})"
        if code in FOR_GOOD:
            raise SourceRefusedError(line)
        raise SourceLostError("refused", line)


def _json(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
