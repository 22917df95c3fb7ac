"""The instruments of a merge as arrays: who shares a base asset, who converts a currency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.contracts.instruments import QUOTE_ASSETS, Instrument

_COMPARED_MARKETS = frozenset({"spot", "equity", "fx"})


class Universe(NamedTuple):
    """Arrays over ``n`` instruments, in ascending order of (venue, instrument).

    Attributes
    ----------
    base, quote, venue : int64[n]
        Codes of the assets and of the venue.
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
    currencies : int64
        Number of assets; the codes of fiat and stable coins are marked in ``money``.
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
    money: Int64Array
    currencies: int


def build_universe(
    instruments: Sequence[Instrument], owns: Callable[[str], bool] = lambda _base: True
) -> tuple[Universe, list[str]]:
    """Build the arrays, and the list of asset names by code.

    Parameters
    ----------
    instruments : sequence of Instrument
        In ascending order of (venue, instrument), so that every tie is broken by name.
    owns : callable
        Tells whether spreads of a base asset are computed here.
    """
    assets = sorted({a for i in instruments for a in (i.base, i.quote)})
    code = {asset: c for c, asset in enumerate(assets)}
    venues = {v: c for c, v in enumerate(sorted({i.venue for i in instruments}))}
    base = np.array([code[i.base] for i in instruments], np.int64)
    quote = np.array([code[i.quote] for i in instruments], np.int64)
    compared = np.array(
        [i.market in _COMPARED_MARKETS and owns(i.base) for i in instruments], np.bool_
    )
    money = [code[a] for a in assets if QUOTE_ASSETS.get(a) in {"fiat", "stable"}]
    member_start, members = _group(
        [(int(base[i]), i) for i in range(len(instruments)) if compared[i]], len(assets)
    )
    legs = [
        (int(sold * len(assets) + bought), i, inverted)
        for i in range(len(instruments))
        if instruments[i].market in _COMPARED_MARKETS and base[i] in money and quote[i] in money
        for sold, bought, inverted in ((base[i], quote[i], False), (quote[i], base[i], True))
    ]
    converter_start, order = _group(
        [(pair, position) for position, (pair, _, _) in enumerate(legs)], len(assets) ** 2
    )
    return (
        Universe(
            base,
            quote,
            np.array([venues[i.venue] for i in instruments], np.int64),
            compared,
            np.array([i.taker_fee_bps for i in instruments], np.float64),
            member_start,
            members,
            converter_start,
            np.array([legs[p][1] for p in order], np.int64),
            np.array([legs[p][2] for p in order], np.bool_),
            np.array(money, np.int64),
            len(assets),
        ),
        assets,
    )


def _group(pairs: list[tuple[int, int]], groups: int) -> tuple[Int64Array, Int64Array]:
    pairs = sorted(pairs)
    counts = np.bincount(np.array([g for g, _ in pairs], np.int64), minlength=groups)
    start = np.zeros(groups + 1, np.int64)
    np.cumsum(counts, out=start[1:])
    return start, np.array([value for _, value in pairs], np.int64)
