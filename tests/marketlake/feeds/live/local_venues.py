"""Venues on this machine: REST answers and WebSocket frames in each venue's own format.

One server stands for every host, as the first part of the path, which is how the setting
``feed.gateways`` asks. What a stream plays is given by the test, one list a subscription: the
second list is for the second time that somebody subscribes to it, the last for all later ones.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

web = pytest.importorskip("aiohttp.web")
WSMsgType = web.WSMsgType
DROP = "drop: cut the connection without a word"
CLOSE = "close: end the connection as the protocol asks"


@dataclass(frozen=True)
class Pause:
    """Send nothing for so long."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Send nothing until the test says so: ``server.release(name)``."""

    name: str


Frame = str | dict[str, Any] | list[Any] | bytes | Pause | Hold


@dataclass
class Stream:
    """What subscribers of one stream get, and how many there were."""

    plays: list[list[Frame]]
    subscribed: int = 0

    def next_play(self) -> list[Frame]:
        self.subscribed += 1
        return self.plays[min(self.subscribed, len(self.plays)) - 1]


@dataclass
class LocalVenues:
    """The server; a context manager, in a thread of its own.

    Attributes
    ----------
    rest : dict
        By ``host/path``, what is answered: JSON, or a function of the query.
    streams : dict
        By name, as each venue's dialect writes them; streams that are not there stay silent.
    heard : list
        What clients sent, as (host, message).
    """

    rest: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    heard: list[tuple[str, Any]] = field(default_factory=list)
    connections: Counter[str] = field(default_factory=Counter)
    address: str = ""

    def play(self, stream: str, *plays: Iterable[Frame]) -> None:
        """Say what a stream sends, one list a subscription."""
        self.streams[stream] = Stream([list(play) for play in plays])

    def subscriptions(self, stream: str) -> int:
        """Count how often somebody subscribed to a stream."""
        return self.streams[stream].subscribed

    def release(self, name: str) -> None:
        """Let those go on that hold."""
        self._loop.call_soon_threadsafe(self._holds[name].set)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._holds: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._started = threading.Event()
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._started.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{host}/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        host, path = request.match_info["host"], request.match_info["path"]
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request, host)
        answer = self.rest.get(f"{host}/{path}")
        if callable(answer):
            answer = answer(dict(request.query))
        if answer is None:
            return web.json_response({"error": f"no {host}/{path} here"}, status=404)
        return web.json_response(answer)

    async def _socket(self, request: web.Request, host: str) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections[host] += 1
        dialect = _DIALECTS[host]
        mine: list[asyncio.Task[None]] = []
        for frame in dialect.greeting:
            await socket.send_str(json.dumps(frame))
        async for message in socket:
            if message.type != WSMsgType.TEXT:
                continue
            if message.data == "ping":
                await socket.send_str("pong")
                continue
            said = json.loads(message.data)
            self.heard.append((host, said))
            answers, streams = dialect.hear(said)
            for frame in answers:
                await socket.send_str(json.dumps(frame))
            for stream in streams:
                if stream in self.streams:
                    play = self.streams[stream].next_play()
                    mine.append(asyncio.create_task(self._play(socket, request, play)))
        for task in mine:
            task.cancel()
        return socket

    async def _play(
        self, socket: web.WebSocketResponse, request: web.Request, frames: list[Frame]
    ) -> None:
        for frame in frames:
            if isinstance(frame, Pause):
                await asyncio.sleep(frame.seconds)
            elif isinstance(frame, Hold):
                await self._holds[frame.name].wait()
            elif frame == DROP:
                request.transport.abort()
                return
            elif frame == CLOSE:
                await socket.close()
                return
            elif isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))


@dataclass(frozen=True)
class Dialect:
    """How a venue's clients subscribe, and what they are answered."""

    hear: Callable[[Any], tuple[list[Any], list[str]]]
    greeting: tuple[Any, ...] = ()


def _binance(said: Any) -> tuple[list[Any], list[str]]:
    return [{"result": None, "id": said["id"]}], said["params"]


def _okx(said: Any) -> tuple[list[Any], list[str]]:
    answers = [{"event": said["op"], "arg": arg, "connId": "a"} for arg in said["args"]]
    subscribing = said["op"] == "subscribe"
    return answers, [f"{a['channel']}:{a['instId']}" for a in said["args"] if subscribing]


def _kraken(said: Any) -> tuple[list[Any], list[str]]:
    if said["method"] == "ping":
        return [{"method": "pong", "req_id": said.get("req_id")}], []
    params = said["params"]
    answers = [
        {"method": "subscribe", "success": True, "req_id": said.get("req_id")}
        | {"result": {"channel": params["channel"], "symbol": symbol, "snapshot": True}}
        for symbol in params["symbol"]
    ]
    return answers, [f"{params['channel']}:{symbol}" for symbol in params["symbol"]]


def _alpaca(said: Any) -> tuple[list[Any], list[str]]:
    if said["action"] == "auth":
        if (said["key"], said["secret"]) != ("key id", "very secret"):
            return [[{"T": "error", "code": 402, "msg": "auth failed"}]], []
        return [[{"T": "success", "msg": "authenticated"}]], []
    channels = {name: said.get(name, []) for name in ("trades", "quotes", "bars")}
    return [[{"T": "subscription", **channels}]], ["stocks"]


_DIALECTS = {
    "stream.binance.com:9443": Dialect(_binance),
    "fstream.binance.com": Dialect(_binance),
    "ws.okx.com:443": Dialect(_okx),
    "ws.kraken.com": Dialect(
        _kraken, ({"channel": "status", "type": "update", "data": [{"system": "online"}]},)
    ),
    "stream.data.alpaca.markets": Dialect(_alpaca, ([{"T": "success", "msg": "connected"}],)),
}


def _binance_symbol(base: str, quote: str, **more: Any) -> dict[str, Any]:
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "isSpotTradingAllowed": True,
        "permissions": ["SPOT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00"}
            | {"tickSize": "0.01"},
            {
                "filterType": "LOT_SIZE",
                "minQty": "0.00001",
                "maxQty": "9000",
                "stepSize": "0.00001",
            },
        ],
        **more,
    }


def serve_binance(venues: LocalVenues) -> None:
    """Give Binance its markets: BTC and ETH in USDT, spot and perpetual."""
    perp = {
        "pair": "BTCUSDT",
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "contractStatus": "TRADING",
        "marginAsset": "USDT",
        "pricePrecision": 2,
        "quantityPrecision": 3,
    }
    venues.rest |= {
        "api.binance.com/api/v3/exchangeInfo": {
            "symbols": [_binance_symbol("BTC", "USDT"), _binance_symbol("ETH", "USDT")]
        },
        "fapi.binance.com/fapi/v1/exchangeInfo": {
            "symbols": [_binance_symbol("BTC", "USDT", **perp)]
        },
        "dapi.binance.com/dapi/v1/exchangeInfo": {"symbols": []},
    }


def serve_okx(venues: LocalVenues) -> None:
    """Give OKX its markets: BTC-USDT, spot and a perpetual of 0.01 BTC a contract."""
    spot = {
        "instType": "SPOT",
        "instId": "BTC-USDT",
        "baseCcy": "BTC",
        "quoteCcy": "USDT",
        "tickSz": "0.1",
        "lotSz": "0.00000001",
        "minSz": "0.00001",
        "state": "live",
    }
    swap = {
        "instType": "SWAP",
        "instId": "BTC-USDT-SWAP",
        "uly": "BTC-USDT",
        "instFamily": "BTC-USDT",
        "settleCcy": "USDT",
        "ctVal": "0.01",
        "ctMult": "1",
        "ctValCcy": "BTC",
        "ctType": "linear",
        "tickSz": "0.1",
        "lotSz": "1",
        "minSz": "1",
        "state": "live",
        "alias": "",
        "expTime": "",
        "listTime": "1573557408000",
    }
    listed = {"SPOT": [spot], "SWAP": [swap]}
    venues.rest["www.okx.com/api/v5/public/instruments"] = lambda query: {
        "code": "0",
        "msg": "",
        "data": listed[query["instType"]],
    }


def serve_kraken(venues: LocalVenues) -> None:
    """Give Kraken its markets: BTC in USD, under its own old names."""
    pair = {
        "altname": "XBTUSD",
        "wsname": "XBT/USD",
        "aclass_base": "currency",
        "base": "XXBT",
        "aclass_quote": "currency",
        "quote": "ZUSD",
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": 1,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "ordermin": "0.0001",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }
    asset = {"aclass": "currency", "decimals": 10, "display_decimals": 5, "status": "enabled"}
    venues.rest |= {
        "api.kraken.com/0/public/AssetPairs": {"error": [], "result": {"XXBTZUSD": pair}},
        "api.kraken.com/0/public/Assets": {
            "error": [],
            "result": {"XXBT": {"altname": "XBT", **asset}, "ZUSD": {"altname": "USD", **asset}},
        },
    }
