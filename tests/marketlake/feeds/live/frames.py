"""Frames as venues send them, written after their documentation."""

from __future__ import annotations

from typing import Any
from zlib import crc32

TIME_MS = 1_700_000_000_000


def binance_trade(number: int, price: str = "100.5", symbol: str = "BTCUSDT") -> dict[str, Any]:
    time_ms = TIME_MS + number
    return {
        "e": "trade", "E": time_ms, "s": symbol, "t": number, "p": price, "q": "0.25",
        "T": time_ms, "m": True, "M": True,
    }  # fmt: skip


def binance_depth(first: int, last: int, bids: list[Any] = [], asks: list[Any] = []) -> Any:  # noqa: B006
    return {
        "e": "depthUpdate", "E": TIME_MS + last, "s": "BTCUSDT", "U": first, "u": last,
        "b": bids, "a": asks,
    }  # fmt: skip


def binance_snapshot(last: int) -> dict[str, Any]:
    return {"lastUpdateId": last, "bids": [["100.0", "1"]], "asks": [["101.0", "2"]]}


def binance_kline(open_s: int, close: str, symbol: str = "BTCUSDT") -> dict[str, Any]:
    open_ms = open_s * 1_000
    bar = {
        "t": open_ms, "T": open_ms + 59_999, "s": symbol, "i": "1m", "f": 1, "L": 2,
        "o": "100.0", "c": close, "h": "105.0", "l": "95.0", "v": "7.5", "n": 2, "x": False,
        "q": "750", "V": "1", "Q": "100", "B": "0",
    }  # fmt: skip
    return {"e": "kline", "E": open_ms + 1, "s": symbol, "k": bar}


def okx_trade(number: int, instrument: str = "BTC-USDT", size: str = "0.5") -> dict[str, Any]:
    row = {
        "instId": instrument, "tradeId": str(number), "px": "100.5", "sz": size, "side": "buy",
        "ts": str(TIME_MS + number),
    }  # fmt: skip
    return {"arg": {"channel": "trades", "instId": instrument}, "data": [row]}


def okx_book(
    sequence: int, previous: int, bids: list[list[str]], asks: list[list[str]]
) -> dict[str, Any]:
    row = {
        "bids": [[*level, "0", "1"] for level in bids],
        "asks": [[*level, "0", "1"] for level in asks],
        "ts": str(TIME_MS + sequence), "seqId": sequence, "prevSeqId": previous,
    }  # fmt: skip
    action = "snapshot" if previous == -1 else "update"
    return {
        "arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [row]
    }  # fmt: skip


def kraken_trade(number: int, time: str) -> dict[str, Any]:
    row = {
        "symbol": "BTC/USD", "side": "sell", "price": 100.2, "qty": 0.3, "ord_type": "market",
        "trade_id": number, "timestamp": time,
    }  # fmt: skip
    return {"channel": "trade", "type": "update", "data": [row]}


def kraken_book(
    kind: str, bids: list[tuple[float, float]], asks: list[tuple[float, float]], payload: str
) -> dict[str, Any]:
    """``payload`` is what Kraken takes the checksum of: the digits of the book that results."""
    row = {
        "symbol": "BTC/USD",
        "bids": [{"price": price, "qty": quantity} for price, quantity in bids],
        "asks": [{"price": price, "qty": quantity} for price, quantity in asks],
        "checksum": crc32(payload.encode()),
        "timestamp": "2023-11-14T22:13:20.123456Z",
    }
    return {"channel": "book", "type": kind, "data": [row]}
