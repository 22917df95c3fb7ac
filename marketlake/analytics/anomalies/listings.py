"""Which listings may be compared across venues, and what their quote currencies are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.kernel import Float64, Int64
from marketlake.contracts.instruments import QUOTE_ASSETS, Instrument

_MONEY: Final = frozenset({"fiat", "stable"})
DOLLARS: Final = frozenset(
    {"USD", "USDT", "USDC", "BUSD", "DAI", "FDUSD", "TUSD", "USDP", "GUSD", "PYUSD"}
)
"""Currencies that are meant to be worth one US dollar."""
_ANCHOR: Final = "USD"
"""What values are counted in. Always the same: it must not depend on who was met so far."""


class Listings(NamedTuple):
    """Arrays over ``n`` listings, in the order of the instruments.

    Attributes
    ----------
    group : int64[n]
        Listings of one group price the same thing: base asset, market, and what a quantity counts.
    venue, quote : int64[n]
        Codes of the venue and of the quote currency.
    watched : bool[n]
        False for those that are here to convert currencies only.
    pegged : bool[n]
        Both currencies are meant to be worth one US dollar.
    member_start, members : int64[groups + 1], int64[n]
        Listings of each group: ``members[member_start[g]:member_start[g + 1]]``.
    money, money_base, money_quote : int64[m]
        Spot listings of money against money, and the codes of both currencies.
    anchor : int
        The US dollar, which values are counted in.
    currencies : int
    """

    group: Int64
    venue: Int64
    quote: Int64
    watched: npt.NDArray[np.bool_]
    pegged: npt.NDArray[np.bool_]
    member_start: Int64
    members: Int64
    money: Int64
    money_base: Int64
    money_quote: Int64
    anchor: int
    currencies: int


def build_listings(
    instruments: Sequence[Instrument], owns: Callable[[str], bool] = lambda _base: True
) -> Listings:
    """Build the arrays.

    Parameters
    ----------
    instruments : sequence of Instrument
        In ascending order of (venue, instrument), so that ties are broken by name.
    owns : callable
        Tells whether events of a base asset are made here.
    """
    kinds = [(i.base, i.market, i.contract_currency) for i in instruments]
    groups = {kind: code for code, kind in enumerate(sorted(set(kinds)))}
    group = np.array([groups[kind] for kind in kinds], np.int64)
    venues = {venue: code for code, venue in enumerate(sorted({i.venue for i in instruments}))}
    money = [
        n
        for n, i in enumerate(instruments)
        if i.market != "perp"
        and QUOTE_ASSETS.get(i.base) in _MONEY
        and QUOTE_ASSETS.get(i.quote) in _MONEY
    ]
    bases = {instruments[n].base for n in money}
    names = sorted({i.quote for i in instruments} | bases | {_ANCHOR})
    code = {name: c for c, name in enumerate(names)}
    return Listings(
        group=group,
        venue=np.array([venues[i.venue] for i in instruments], np.int64),
        quote=np.array([code[i.quote] for i in instruments], np.int64),
        watched=np.array([owns(i.base) for i in instruments], np.bool_),
        pegged=np.array(
            [i.market != "perp" and DOLLARS.issuperset((i.base, i.quote)) for i in instruments],
            np.bool_,
        ),
        member_start=np.searchsorted(np.sort(group), np.arange(len(groups) + 1)).astype(np.int64),
        members=np.argsort(group, kind="stable").astype(np.int64),
        money=np.array(money, np.int64),
        money_base=np.array([code[instruments[n].base] for n in money], np.int64),
        money_quote=np.array([code[instruments[n].quote] for n in money], np.int64),
        anchor=code[_ANCHOR],
        currencies=len(names),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def middle(buffer: Float64, count: int) -> float:
    """Give the median of the first ``count`` words, which it sorts; NaN of none."""
    for i in range(1, count):
        x = buffer[i]
        j = i
        while j > 0 and buffer[j - 1] > x:
            buffer[j] = buffer[j - 1]
            j -= 1
        buffer[j] = x
    if count == 0:
        return math.nan
    half = count // 2
    if count % 2:
        return buffer[half]
    return 0.5 * buffer[half - 1] + 0.5 * buffer[half]


@njit(cache=True, nogil=True, error_model="numpy")
def currency_values(
    listings: Listings, close: Float64, fresh: npt.NDArray[np.bool_], buffer: Float64, out: Float64
) -> None:
    """Value each currency in dollars, directly or through one more currency; NaN if unknown.

    ``close`` and ``fresh`` are those of all listings. A value is the median over the venues that
    quote it, so that one bad print does not move what others are compared by.
    """
    out[:] = math.nan
    out[listings.anchor] = 1.0
    known = np.empty(listings.currencies)
    for _ in range(2):
        known[:] = out
        for currency in range(listings.currencies):
            if not math.isnan(known[currency]):
                continue
            count = 0
            for m in range(listings.money.size):
                price = close[listings.money[m]]
                if not fresh[listings.money[m]] or not price > 0.0:
                    continue
                value = math.nan
                if listings.money_base[m] == currency:
                    value = price * known[listings.money_quote[m]]
                elif listings.money_quote[m] == currency:
                    value = known[listings.money_base[m]] / price
                if not math.isnan(value):
                    buffer[count] = value
                    count += 1
            out[currency] = middle(buffer, count)
