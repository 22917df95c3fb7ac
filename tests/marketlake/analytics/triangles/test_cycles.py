"""Cycles against an enumeration by permutations, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from marketlake.analytics.triangles.cycles import cycle_arrays, find_cycles
from marketlake.contracts.instruments import resolve, with_fee

from . import plain_triangles


def instruments(*names):
    return [resolve(*name.split(" ")) for name in sorted(names)]


TRIANGLE = ("binance BTC-USDT", "binance ETH-BTC", "binance ETH-USDT")


def rotated(assets):
    """The assets without the end, begun at the first by name."""
    least = assets.index(min(assets[:-1]))
    return assets[least:-1] + assets[:least]


def test_a_triangle_is_two_cycles_that_begin_with_money():
    listed = instruments(*TRIANGLE)
    forth, back = find_cycles(listed)
    # BTC-USDT is 0, ETH-BTC 1, ETH-USDT 2; even codes sell, odd ones buy.
    assert (forth.text, forth.legs) == ("USDT>BTC>ETH>USDT", (1, 3, 4))
    assert (back.text, back.legs) == ("USDT>ETH>BTC>USDT", (5, 2, 0))
    assert forth.venue == back.venue == "binance"


def test_without_money_it_begins_with_what_prices_are_quoted_in():
    listed = instruments("binance ETH-BTC", "binance LINK-BTC", "binance LINK-ETH")
    assert [one.text for one in find_cycles(listed)] == ["BTC>ETH>LINK>BTC", "BTC>LINK>ETH>BTC"]


def test_legs_of_other_venues_and_perpetuals_make_no_cycle():
    assert not find_cycles(instruments(*TRIANGLE[:2], "okx ETH-USDT", "binance ETH-USDT-PERP"))


def test_two_instruments_of_the_same_assets_make_no_cycle_but_each_its_own_triangle():
    listed = instruments("kraken USDC-USDT", "kraken USDT-USDC")
    assert not find_cycles(listed)
    listed = instruments(
        "kraken USDC-USDT", "kraken USDT-USDC", "kraken BTC-USDC", "kraken BTC-USDT"
    )
    assert len({one.legs for one in find_cycles(listed)}) == 4


def test_venues_that_another_bucket_owns_are_left_out():
    listed = instruments(*TRIANGLE, *(name.replace("binance", "okx") for name in TRIANGLE))
    assert {one.venue for one in find_cycles(listed)} == {"binance", "okx"}
    assert {one.venue for one in find_cycles(listed, owns=lambda v: v == "okx")} == {"okx"}


@pytest.mark.parametrize("longest", [3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_random_listings_give_what_permutations_give(seed, longest):
    rng = np.random.default_rng(seed)
    pairs = [
        f"{venue} {base}-{quote}"
        for venue in ("binance", "kraken")
        for base in ("BTC", "ETH", "LINK", "SOL", "USDC", "FTT")
        for quote in ("USDT", "USDC", "BTC", "ETH")
        if base != quote and rng.random() < 0.6
    ]
    listed = instruments(*pairs)
    found = [(one.venue, rotated(one.assets)) for one in find_cycles(listed, longest)]
    # Two instruments may lie between the same assets: as many cycles as there are choices.
    expected = {
        (venue, assets): np.prod(
            [
                sum({i.base, i.quote} == {a, b} for i in listed if i.venue == venue)
                for a, b in zip(assets, (*assets[1:], assets[0]), strict=True)
            ]
        )
        for venue, assets in plain_triangles.cycles(listed, longest)
    }
    assert len(expected) > 8
    assert {key: found.count(key) for key in found} == expected


def test_the_two_directions_are_neighbours_and_each_leg_leads_on():
    listed = instruments(
        *TRIANGLE, "binance BTC-USDC", "binance USDC-USDT", "binance ETH-USDC", "binance FTT-BTC"
    )
    cycles = find_cycles(listed, 4)
    for forth, back in zip(cycles[::2], cycles[1::2], strict=True):
        assert back.assets == forth.assets[::-1]
        assert back.legs == tuple(leg ^ 1 for leg in reversed(forth.legs))
    for one in cycles:
        for place, leg in enumerate(one.legs):
            i = listed[leg >> 1]
            there = (i.quote, i.base) if leg & 1 else (i.base, i.quote)
            assert one.assets[place : place + 2] == there


def test_arrays_hold_fees_and_the_cycles_of_each_instrument():
    listed = [with_fee(i, fee) for i, fee in zip(instruments(*TRIANGLE), (1, 2, 4), strict=True)]
    listed += instruments("okx BTC-USDT")
    cycles = find_cycles(listed)
    arrays = cycle_arrays(cycles, listed)
    assert arrays.fees_bps.tolist() == [7.0, 7.0]
    assert arrays.length.tolist() == [3, 3]
    held = [
        arrays.touch[arrays.touch_start[i] : arrays.touch_start[i + 1]].tolist() for i in range(4)
    ]
    assert held == [[0, 1], [0, 1], [0, 1], []]


@pytest.mark.parametrize("longest", [2, 5])
def test_a_length_that_cannot_be_is_refused(longest):
    with pytest.raises(ValueError, match="max_legs is"):
        find_cycles([], longest)
