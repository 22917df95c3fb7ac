"""What the worlds of step two keep: bounded, and what of books reaches them."""

from __future__ import annotations

import numpy as np
import pytest

from marketlake.analytics.arrays import pack_arrays, take
from marketlake.analytics.depth.market import NO_BOOK, NO_TRANSIT_US
from marketlake.settings.model import SpreadSettings
from streaming.stages.book_columns import book_columns, transit_us
from streaming.stages.merge_fold import MergeEvents, MergeFold
from streaming.stages.rows import Rows
from streaming.stages.scan import NO_LONG
from streaming.stages.top_buffer import TopBuffer

T0 = 1_736_949_600_000_000
DEPTH = SpreadSettings().depth_levels
VENUES = ("binance", "bybit", "kraken", "okx")


def book_rows(bids, asks, received=None):
    """Decoded rows of books at ``T0``."""
    n = len(bids)
    received = [NO_LONG] * n if received is None else received
    return Rows(
        "book", np.arange(n), np.zeros(n, np.int64), [("okx", "BTC-USDT")], np.zeros(n, np.int64),
        np.full(n, T0), np.array(received), np.full(n, NO_LONG), {}, bids=bids, asks=asks,
    )  # fmt: skip


def test_levels_of_books_as_arrays():
    rows = book_rows(
        [[(10.0, 1.0), (9.0, 2.0), (8.0, 3.0)], [], None], [[(11.0, 4.0)], [(12.0, 5.0)], None]
    )
    columns = book_columns(rows, 2)
    nan = np.nan
    expected = [
        [[10.0, 9.0], [1.0, 2.0], [11.0, nan], [4.0, nan]],
        [[nan, nan], [nan, nan], [12.0, nan], [5.0, nan]],
        [[nan, nan]] * 4,
    ]
    np.testing.assert_array_equal(columns["levels"], expected)
    np.testing.assert_array_equal(columns["bid_price"], [10.0, nan, nan])
    np.testing.assert_array_equal(columns["ask_quantity"], [4.0, 5.0, nan])


def test_of_one_level_no_levels_are_sent():
    columns = book_columns(book_rows([[(10.0, 1.0)]], [[(11.0, 4.0)]]), 1)
    assert set(columns) == {"bid_price", "bid_quantity", "ask_price", "ask_quantity"}


def test_time_on_the_way():
    rows = book_rows([[]] * 3, [[]] * 3, [T0 + 7, T0 - 1_270_000, NO_LONG])
    assert transit_us(rows).tolist() == [7, -1_270_000, NO_TRANSIT_US]


def tops(times, *, books=None):
    n = len(times)
    columns = {
        "time_us": np.array(times), "instrument": np.zeros(n, np.int64),
        "event": np.full(n, int(books is None), np.int8), "sequence": np.arange(n),
        "content": np.arange(n).astype(np.uint64),
    }  # fmt: skip
    if books is not None:
        columns["levels"] = np.array(books, float)[:, None, None] * np.ones((n, 4, 2))
    return columns


def test_levels_stay_with_their_books_whatever_order_they_leave_in():
    buffer = TopBuffer(2)
    out = buffer.step([tops([5, 1, 9], books=[50, 10, 90]), tops([3, 6])], 6)
    assert out["time_us"].tolist() == [1, 3, 5]
    assert out["book"].tolist() == [0, NO_BOOK, 1]
    assert out["levels"][:, 0, 0].tolist() == [10.0, 50.0]
    again = TopBuffer(2)
    again.restore(buffer.state())
    for one in (buffer, again):
        out = one.step([tops([7], books=[70])], 10)
        assert out["time_us"].tolist() == [6, 7, 9]
        assert out["levels"][out["book"][1:], 0, 0].tolist() == [70.0, 90.0]
        assert one.state() == {}


def test_a_stream_of_quotes_carries_no_levels():
    out = TopBuffer(2).step([tops([1, 2])], 9)
    assert "levels" not in out
    assert out["book"].tolist() == [NO_BOOK, NO_BOOK]


def event_of(names, *, books):
    """A quote or a book of each instrument, half a second before the watermark."""
    n = len(names)
    columns = tops(np.full(n, T0), books=np.ones(n) if books else None)
    if books:
        columns["levels"] = np.ones((n, 4, DEPTH))
    prices = {"bid_price": 1.0, "bid_quantity": 1.0, "ask_price": 1.001, "ask_quantity": 1.0}
    columns |= {name: np.full(n, value) for name, value in prices.items()}
    columns |= {"instrument": np.arange(n), "transit_us": np.zeros(n, np.int64)}
    columns = take(columns, np.arange(n))
    return MergeEvents(names, pack_arrays({}), pack_arrays(columns))


@pytest.mark.parametrize(("books", "bytes_each"), [(False, 57), (True, 65)])
def test_the_state_of_ten_thousand_instruments_is_bounded(books, bytes_each):
    pairs = [f"C{n}-{quote}" for n in range(1_250) for quote in ("BTC", "USDT")]
    names = sorted((venue, pair) for venue in VENUES for pair in pairs)
    assert len(names) == 10_000
    fold = MergeFold(SpreadSettings())
    fold.step([event_of(names, books=books)], T0, T0 + 500_000)
    kept = len(fold.state())
    text = sum(len(venue) + len(pair) + 2 for venue, pair in names)
    closes = 7 * 16
    # 27 words of 8 bytes to compare venues, for built bars and for published ones.
    venues = 2 * 27 * 8
    levels = 32 * DEPTH if books else 0
    assert (kept - text) / len(names) <= bytes_each + closes + venues + levels
    # The same again adds nothing.
    fold.step([event_of(names, books=books)], T0, T0 + 600_000)
    assert len(fold.state()) == kept


def test_books_of_another_depth_are_refused_with_one_line():
    fold = MergeFold(SpreadSettings())
    fold.step([event_of([("okx", "BTC-USDT")], books=True)], T0, T0 + 1)
    other = MergeFold(SpreadSettings(depth_levels=5))
    with pytest.raises(ValueError, match="books of 10 levels"):
        other.restore(fold.state())
