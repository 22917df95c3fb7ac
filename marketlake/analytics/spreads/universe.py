"""The instruments of a merge as arrays: who shares a base asset, who converts a currency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.contracts.instruments import QUOTE_ASSETS, Instrument

_COMPARED_MARKETS = frozenset({"spot", "equity", "fx"})
_MONEY = frozenset({"fiat", "stable"})


class Universe(NamedTuple):
    """Arrays over ``n`` instruments, in ascending order of (venue, instrument).

    Attributes
    ----------
    base, quote, venue : int64[n]
        Codes of the base asset, of the quote among the currencies, and of the venue.
    compared : bool[n]
        True where spreads are computed: not for perpetuals, whose difference is basis, nor for
        base assets of another bucket, whose instruments are there to convert currencies.
    fee_bps : float64[n]
        Taker fee.
    member_start, members : int64[bases + 1], int64[...]
        Instruments of each base asset: ``members[member_start[b]:member_start[b + 1]]``.
    converter_start, converters, inverse
        Instruments that turn currency ``a`` into ``b``, at ``a * currencies + b``; ``inverse``
        where the currency sold is the instrument's quote.
    convertible : bool[currencies ** 2]
        Whether instruments turn ``a`` into ``b``, directly or by one step, at ``a * currencies +
        b``; what they quote is another matter.
    money : int64[...]
        Codes of the currencies that are fiat or stable coins.
    currencies : int64
        Number of currencies: all that is money, and all quotes.
    """

    base: Int64Array
    quote: Int64Array
    venue: Int64Array
    compared: npt.NDArray[np.bool_]
    fee_bps: Float64Array
    member_start: Int64Array
    members: Int64Array
    converter_start: Int64Array
    converters: Int64Array
    inverse: npt.NDArray[np.bool_]
    convertible: npt.NDArray[np.bool_]
    money: Int64Array
    currencies: int


def build_universe(
    instruments: Sequence[Instrument], owns: Callable[[str], bool] = lambda _base: True
) -> tuple[Universe, list[str]]:
    """Build the arrays, and the list of currencies by code.

    Parameters
    ----------
    instruments : sequence of Instrument
        In ascending order of (venue, instrument), so that every tie is broken by name.
    owns : callable
        Tells whether spreads of a base asset are computed here.
    """
    assets = sorted({i.base for i in instruments})
    code = {asset: c for c, asset in enumerate(assets)}
    # Apart from the assets: ways between currencies are kept by pairs, and assets are thousands.
    money = {a for i in instruments for a in (i.base, i.quote) if QUOTE_ASSETS.get(a) in _MONEY}
    currencies = sorted(money | {i.quote for i in instruments})
    currency = {asset: c for c, asset in enumerate(currencies)}
    venues = {v: c for c, v in enumerate(sorted({i.venue for i in instruments}))}
    base = np.array([code[i.base] for i in instruments], np.int64)
    compared = np.array(
        [i.market in _COMPARED_MARKETS and owns(i.base) for i in instruments], np.bool_
    )
    member_start, members = _group(
        [(int(base[i]), i) for i in range(len(instruments)) if compared[i]], len(assets)
    )
    legs = [
        (currency[sold] * len(currencies) + currency[bought], n, inverted)
        for n, i in enumerate(instruments)
        if i.market in _COMPARED_MARKETS and i.base in money and i.quote in money
        for sold, bought, inverted in ((i.base, i.quote, False), (i.quote, i.base, True))
    ]
    converter_start, order = _group(
        [(pair, position) for position, (pair, _, _) in enumerate(legs)], len(currencies) ** 2
    )
    moneys = np.array(sorted(currency[a] for a in money), np.int64)
    return (
        Universe(
            base,
            np.array([currency[i.quote] for i in instruments], np.int64),
            np.array([venues[i.venue] for i in instruments], np.int64),
            compared,
            np.array([i.taker_fee_bps for i in instruments], np.float64),
            member_start,
            members,
            converter_start,
            np.array([legs[p][1] for p in order], np.int64),
            np.array([legs[p][2] for p in order], np.bool_),
            _convertible(converter_start, moneys, len(currencies)),
            moneys,
            len(currencies),
        ),
        currencies,
    )


def _convertible(
    converter_start: Int64Array, money: Int64Array, currencies: int
) -> npt.NDArray[np.bool_]:
    direct = (np.diff(converter_start) > 0).reshape(currencies, currencies)
    by_one_step = (direct[:, money].astype(np.int64) @ direct[money].astype(np.int64)) > 0
    return (direct | by_one_step).ravel()


def _group(pairs: list[tuple[int, int]], groups: int) -> tuple[Int64Array, Int64Array]:
    pairs = sorted(pairs)
    counts = np.bincount(np.array([g for g, _ in pairs], np.int64), minlength=groups)
    start = np.zeros(groups + 1, np.int64)
    np.cumsum(counts, out=start[1:])
    return start, np.array([value for _, value in pairs], np.int64)
