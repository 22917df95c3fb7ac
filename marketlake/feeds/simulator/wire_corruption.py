"""Malformed and odd wire messages, by seed: what a decoder must survive and account for.

Each message is valid or bears one named corruption of a valid event. Some corruptions leave a
message that a tolerant reader may accept (``number_as_string``, ``unknown_field``); the name
says what was done, not what a pipeline has to make of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.market import simulate

VALID_SHARE: Final = 0.5
NESTING_MAX: Final = 2_000
HUGE_TEXT: Final = 100_000

Json = dict[str, Any]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class FuzzMessage:
    """One message: ``valid`` or the name of its corruption, and its bytes."""

    corruption: str
    value: bytes


def fuzz_messages(seed: int, n: int) -> Iterator[bytes]:
    """Yield ``n`` messages, about half of them valid wire events; the same for a seed."""
    for message in labelled_fuzz_messages(seed, n):
        yield message.value


def labelled_fuzz_messages(seed: int, n: int) -> Iterator[FuzzMessage]:
    """Yield what ``fuzz_messages`` does, each message with what was done to it."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    valid = _valid_messages(seed)
    names = list(CORRUPTIONS)
    for _ in range(n):
        value = valid[int(rng.integers(len(valid)))]
        if rng.random() < VALID_SHARE:
            yield FuzzMessage("valid", value)
        else:
            name = names[int(rng.integers(len(names)))]
            yield FuzzMessage(name, CORRUPTIONS[name](rng, value))


def _valid_messages(seed: int) -> list[bytes]:
    market = simulate(
        SimulationConfig(
            seed=seed,
            duration_s=120,
            trades_per_second=1.0,
            quotes_per_second=1.0,
            books_per_second=1.0,
            incidents=(),
        )
    )
    return [value for _, _, value in market.messages()]


def _dump(event: Json) -> bytes:
    # Python writes NaN and Infinity as these words, as careless producers do.
    return json.dumps(event, separators=(",", ":")).encode()


def _pick(rng: Rng, options: list[Any]) -> Any:
    return options[int(rng.integers(len(options)))]


def _number_places(event: Json) -> list[tuple[Any, Any]]:
    """List where an event holds a price, a quantity or a volume: container and key."""
    places: list[tuple[Any, Any]] = [(event, k) for k, v in event.items() if isinstance(v, float)]
    levels = [*event.get("bids", []), *event.get("asks", [])]
    return places + [(level, at) for level in levels for at in range(len(level))]


def _replaced(options: list[Any]) -> Callable[[Rng, bytes], bytes]:
    """Make a corruption that sets a price or quantity to one of the options."""

    def corrupt(rng: Rng, value: bytes) -> bytes:
        event = json.loads(value)
        container, key = _pick(rng, _number_places(event))
        container[key] = _pick(rng, options)
        return _dump(event)

    return corrupt


def _set(name: str, options: list[Any]) -> Callable[[Rng, bytes], bytes]:
    """Make a corruption that sets a field to one of the options."""

    def corrupt(rng: Rng, value: bytes) -> bytes:
        return _dump(json.loads(value) | {name: _pick(rng, options)})

    return corrupt


def _whole(options: list[bytes]) -> Callable[[Rng, bytes], bytes]:
    """Make a corruption that puts one of the options in place of the message."""

    def corrupt(rng: Rng, value: bytes) -> bytes:  # noqa: ARG001
        return bytes(_pick(rng, list(options)))

    return corrupt


def _random_bytes(rng: Rng, value: bytes) -> bytes:  # noqa: ARG001
    return rng.bytes(int(rng.integers(1, 300)))


def _truncated(rng: Rng, value: bytes) -> bytes:
    return value[: int(rng.integers(1, len(value)))]


def _flipped_bits(rng: Rng, value: bytes) -> bytes:
    flipped = bytearray(value)
    for at in rng.integers(0, len(value), int(rng.integers(1, 5))).tolist():
        flipped[at] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def _wrong_type(rng: Rng, value: bytes) -> bytes:
    event = json.loads(value)
    event[_pick(rng, list(event))] = _pick(rng, [None, True, [], {}, [[1]], {"a": 1}, "", -1, 1.5])
    return _dump(event)


def _missing_field(rng: Rng, value: bytes) -> bytes:
    event = json.loads(value)
    del event[_pick(rng, list(event))]
    return _dump(event)


def _number_as_string(rng: Rng, value: bytes) -> bytes:  # noqa: ARG001
    event = json.loads(value)
    for container, key in _number_places(event):
        container[key] = repr(container[key])
    return _dump(event)


def _time_unit(divisor: float) -> Callable[[Rng, bytes], bytes]:
    def corrupt(rng: Rng, value: bytes) -> bytes:  # noqa: ARG001
        event = json.loads(value)
        event["event_time_us"] = int(event["event_time_us"] / divisor)
        return _dump(event)

    return corrupt


def _deep_nesting(rng: Rng, value: bytes) -> bytes:
    depth = int(rng.integers(100, NESTING_MAX))
    opening, closing = _pick(rng, [(b"[", b"]"), (b'{"a":', b"}")])
    return value[:-1] + b',"nested":' + opening * depth + b"1" + closing * depth + b"}"


def _huge_string(rng: Rng, value: bytes) -> bytes:
    name = _pick(rng, ["venue", "instrument", "trade_id", "note"])
    return _dump(json.loads(value) | {name: "x" * HUGE_TEXT})


def _invalid_utf8(rng: Rng, value: bytes) -> bytes:
    at = value.index(b'"venue":"') + len(b'"venue":"')
    broken: bytes = _pick(rng, [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
    return value[:at] + broken + value[at:]


def _raw_control(rng: Rng, value: bytes) -> bytes:
    """Put a newline or NUL, unescaped, anywhere: between tokens or inside of one."""
    at = int(rng.integers(0, len(value) + 1))
    control: bytes = _pick(rng, [b"\n", b"\x00", b"\r\n", b"\x00\x00"])
    return value[:at] + control + value[at:]


def _duplicate_key(rng: Rng, value: bytes) -> bytes:
    name = _pick(rng, list(json.loads(value)))
    other = _pick(rng, [b"1", b'"x"', b"null", b"-5"])
    return value[:-1] + b',"' + name.encode() + b'":' + other + b"}"


def _book(rng: Rng, value: bytes, change: Callable[[Json], None]) -> bytes:
    """Make the message a book (of its own header) and change that."""
    event = json.loads(value)
    header = {name: event[name] for name in ("venue", "instrument", "event_time_us")}
    mid = float(rng.uniform(1.0, 1000.0))
    book = {"type": "book", **header}
    book["bids"] = [[mid - 0.01 * (level + 1), 1.0 + level] for level in range(5)]
    book["asks"] = [[mid + 0.01 * (level + 1), 1.0 + level] for level in range(5)]
    change(book)
    return _dump(book)


def _crossed(rng: Rng, value: bytes) -> bytes:
    def cross(book: Json) -> None:
        book["bids"], book["asks"] = book["asks"][::-1], book["bids"][::-1]

    event = json.loads(value)
    if event["type"] == "quote":
        event["bid_price"], event["ask_price"] = event["ask_price"], event["bid_price"]
        return _dump(event)
    return _book(rng, value, cross)


def _unsorted_book(rng: Rng, value: bytes) -> bytes:
    return _book(rng, value, lambda book: book["bids"].reverse())


def _malformed_book(rng: Rng, value: bytes) -> bytes:
    levels = [[], [[1.0]], [[1.0, 2.0, 3.0]], [None], [["a", "b"]], {}, "[]", [[1, 1]] * 500]
    side = _pick(rng, ["bids", "asks"])
    return _book(rng, value, lambda book: book.update({side: _pick(rng, levels)}))


def _bar_disorder(rng: Rng, value: bytes) -> bytes:
    """Make the message a bar whose high lies below its low, or that knows no such interval."""
    event = json.loads(value)
    header = {name: event[name] for name in ("venue", "instrument", "event_time_us")}
    bar = {"type": "bar", **header, "interval": "1m", "open": 2.0, "high": 3.0, "low": 1.0}
    bar |= {"close": 2.5, "volume": 10.0}
    fault = [{"high": 0.5}, {"low": 5.0}, {"interval": "7x"}, {"volume": -1.0}, {"open": 0.0}]
    return _dump(bar | _pick(rng, fault))


CORRUPTIONS: Final[dict[str, Callable[[Rng, bytes], bytes]]] = {
    "random_bytes": _random_bytes,
    "truncated": _truncated,
    "flipped_bits": _flipped_bits,
    "wrong_type": _wrong_type,
    "missing_field": _missing_field,
    "not_finite": _replaced([float("nan"), float("inf"), float("-inf")]),
    "huge_number": _replaced([1e308, 10**400, 2**63, 2**64, -(2**63) - 1, 5e-324]),
    "negative": _replaced([-1.0, -0.0, -1e9]),
    "zero": _replaced([0, 0.0]),
    "time_in_ms": _time_unit(1e3),
    "time_in_s": _time_unit(1e6),
    "time_in_ns": _time_unit(1e-3),
    "time_odd": _set("event_time_us", [0, -1, 2**63, 1.5, "2025-01-15T14:00:00Z", None, True]),
    "unknown_type": _set("type", ["ticker", "", "TRADE", "trades", None, 7]),
    "unknown_instrument": _set(
        "instrument", ["ZZZ-QQQ", "BTCUSDT", "btc-usdt", "-", "", "A-B-C-D"]
    ),
    "unknown_venue": _set("venue", ["mtgox", "", "Binance", " binance", "bin\nance"]),
    "unknown_field": _set("surprise", [1, "text", None, {"a": [1, 2]}, [1]]),
    "escaped_controls": _set("trade_id", ["a\nb", "a\x00b", "\u2028", "\U0001f600", "\x7f"]),
    "deep_nesting": _deep_nesting,
    "empty": _whole([b"", b" ", b"\n", b"{}"]),
    "huge_string": _huge_string,
    "invalid_utf8": _invalid_utf8,
    "byte_order_mark": lambda _, value: b"\xef\xbb\xbf" + value,
    "utf16": lambda _, value: value.decode().encode("utf-16"),
    "raw_control": _raw_control,
    "two_in_one": lambda _, value: value + b"\n" + value,
    "duplicate_key": _duplicate_key,
    "number_as_string": _number_as_string,
    "text_as_number": _replaced(["", "abc", "1e400", "0x10", "1_000", " 1", "NaN", "1,5"]),
    "crossed": _crossed,
    "unsorted_book": _unsorted_book,
    "malformed_book": _malformed_book,
    "bar_disorder": _bar_disorder,
    "top_level_array": lambda _, value: b"[" + value + b"]",
    "top_level_scalar": _whole([b"1", b'"trade"', b"null", b"true", b"[]", b"-0", b"NaN"]),
}
"""Each corruption by name: it takes a generator and the bytes of a valid event."""
