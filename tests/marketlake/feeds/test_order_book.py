"""The level-2 book against a plain dictionary, and its edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketlake.feeds.venues.order_book import OrderBook, parse_levels

levels = st.lists(
    st.tuples(st.integers(1, 40).map(float), st.integers(0, 3).map(float)), max_size=30
)


@given(levels, levels, st.lists(st.tuples(levels, levels), max_size=8), st.integers(1, 10))
def test_equals_a_dictionary_that_is_sorted_each_time(bids, asks, deltas, depth):
    book = OrderBook(bids, asks)
    plain = [{price: quantity for price, quantity in side if quantity} for side in (bids, asks)]
    for delta in deltas:
        book.apply_delta(*delta)
        for state, change in zip(plain, delta, strict=True):
            for price, quantity in change:
                state.pop(price, None)
                if quantity:
                    state[price] = quantity
    assert book.top(depth) == (
        sorted(plain[0].items(), reverse=True)[:depth],
        sorted(plain[1].items())[:depth],
    )


def test_best_first_and_at_most_20():
    book = OrderBook([(float(p), 1.0) for p in range(1, 31)], [(50.0, 2.0), (40.0, 1.0)])
    bids, asks = book.top()
    assert [price for price, _ in bids] == [float(p) for p in range(30, 10, -1)]
    assert asks == [(40.0, 1.0), (50.0, 2.0)]


def test_truncate_forgets_for_good():
    book = OrderBook([(3.0, 1.0), (2.0, 1.0), (1.0, 1.0)], [(4.0, 1.0), (5.0, 1.0)])
    book.truncate(2)
    book.apply_delta([(3.0, 0.0)], [(4.0, 0.0), (9.0, 0.0)])
    assert book.top() == ([(2.0, 1.0)], [(5.0, 1.0)])


@pytest.mark.parametrize(("bid", "ask", "crossed"), [(1.0, 2.0, False), (2.0, 2.0, True)])
def test_crossed(bid, ask, crossed):
    assert OrderBook([(bid, 1.0)], [(ask, 1.0)]).is_crossed() is crossed
    assert OrderBook([], [(ask, 1.0)]).is_crossed() is False


@pytest.mark.parametrize("bad", [["x", "1"], ["nan", "1"], ["0", "1"], ["1", "-1"], ["1", "inf"]])
def test_impossible_levels_are_refused(bad):
    with pytest.raises(ValueError):
        parse_levels([["1", "1"], bad])
