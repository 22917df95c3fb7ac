"""Basis of perpetuals to spot, once an interval, and what carrying it would bring in a year.

``basis = perp_price * conversion_rate / spot_price - 1`` of the mid prices at the end of the
interval, ``conversion_rate`` being units of the spot's quote currency for one of the perpetual's.
A price is for one unit of the base, whatever the contract's size; sizes are turned into base.

A perpetual does not converge by a date: it is held to spot by funding, which the longs pay to the
shorts where it is above zero. Carry is therefore what venues' funding formula makes of the basis::

    funding = premium + clamp(interest - premium, -damper, +damper)        for `hours` hours
    annualised_carry = funding * 8,760 / hours                             a fraction a year

It assumes that the basis stays what it is for a year, that the spot of the same venue stands for
the venue's index, and that the venue's caps do not bind; funding as published is not on the wire.
It is null where the venue's formula is not in the reference table (``contracts/venues.py``).

There is no row where a price is absent or older than the limit, or the quote currencies differ and
nothing converts them.

State, beside the market's: two words in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.depth.market import NEVER_US, Market, TopRows, take_row
from marketlake.analytics.depth.walk import BPS
from marketlake.analytics.spreads.pricing import conversion
from marketlake.analytics.spreads.universe import Universe
from marketlake.contracts.instruments import Instrument
from marketlake.contracts.venues import VENUES

HOURS_A_YEAR: Final = 8_760.0
_NEXT, _LATEST = 0, 1

INT_COLUMNS: Final = ("time_us", "spot", "perp", "oldest_age_us")
FLOAT_COLUMNS: Final = (
    "spot_price", "perp_price", "conversion_rate", "basis_bps", "annualised_carry",
    "spot_quantity", "perp_quantity",
)  # fmt: skip


class BasisPairs(NamedTuple):
    """Pairs of a spot instrument and a perpetual of one base asset at one venue, ``k`` of them.

    Attributes
    ----------
    spot, perp : int64[k]
        Instruments by place.
    contract_size : float64[k]
        Of the perpetual.
    inverse : bool[k]
        True where the contract's size is in the quote currency.
    hours, interest, damper : float64[k]
        Of the funding formula, the latter two as fractions; NaN where it is not known.
    """

    spot: Int64Array
    perp: Int64Array
    contract_size: Float64Array
    inverse: np.ndarray[tuple[int], np.dtype[np.bool_]]
    hours: Float64Array
    interest: Float64Array
    damper: Float64Array


def basis_pairs(
    instruments: Sequence[Instrument], owns: Callable[[str], bool] = lambda _base: True
) -> BasisPairs:
    """Pair each perpetual with every spot instrument of its base at its venue."""
    spots: dict[tuple[str, str], list[int]] = {}
    for i, one in enumerate(instruments):
        if one.market == "spot" and owns(one.base):
            spots.setdefault((one.venue, one.base), []).append(i)
    pairs = [
        (spot, perp)
        for perp, one in enumerate(instruments)
        if one.market == "perp"
        for spot in spots.get((one.venue, one.base), ())
    ]
    perps = [instruments[perp] for _, perp in pairs]
    funding = [VENUES[one.venue].funding for one in perps]
    return BasisPairs(
        np.array([spot for spot, _ in pairs], np.int64),
        np.array([perp for _, perp in pairs], np.int64),
        np.array([one.contract_size for one in perps], np.float64),
        np.array([one.contract_currency == "quote" for one in perps], np.bool_),
        np.array([f.hours if f else np.nan for f in funding], np.float64),
        np.array([f.interest_bps / BPS if f else np.nan for f in funding], np.float64),
        np.array([f.damper_bps / BPS if f else np.nan for f in funding], np.float64),
    )


@njit(**LOOP)
def in_base(quantity: float, price: float, contract_size: float, inverse: bool) -> float:  # noqa: FBT001 - compiled
    """Units of base that a number of contracts stands for at a price."""
    if inverse:
        return quantity * contract_size / price
    return quantity * contract_size


@njit(**LOOP)
def annualised_carry(premium: float, hours: float, interest: float, damper: float) -> float:
    """Funding of a year at a constant premium, as a fraction; NaN without a formula."""
    funding = premium + min(max(interest - premium, -damper), damper)
    return funding * HOURS_A_YEAR / hours


@njit(**LOOP)
def _sample(
    universe: Universe, pairs: BasisPairs, market: Market, mid: Float64Array, at_us: int,
    max_age_us: int, count: int, out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    for i in range(mid.size):
        mid[i] = (market.bid[i] + market.ask[i]) / 2.0
    for k in range(pairs.spot.size):
        spot, perp = pairs.spot[k], pairs.perp[k]
        oldest_us = min(market.time_us[spot], market.time_us[perp])
        if at_us - oldest_us > max_age_us or not (mid[spot] > 0.0 and mid[perp] > 0.0):
            continue
        venue = universe.venue[spot]
        rate, _, _, _ = conversion(
            universe, universe.quote[perp], universe.quote[spot], venue, venue, mid, mid,
            market.time_us, at_us, max_age_us,
        )  # fmt: skip
        if not rate > 0.0:
            continue
        premium = mid[perp] * rate / mid[spot] - 1.0
        carry = annualised_carry(premium, pairs.hours[k], pairs.interest[k], pairs.damper[k])
        # The sides that a carry trade takes: the dearer one is sold at its bid.
        spot_quantity, price, contracts = (
            market.ask_quantity[spot], market.bid[perp], market.bid_quantity[perp],
        )  # fmt: skip
        if premium < 0.0:
            spot_quantity, price, contracts = (
                market.bid_quantity[spot], market.ask[perp], market.ask_quantity[perp],
            )  # fmt: skip
        out_int[count, 0], out_int[count, 1], out_int[count, 2] = at_us, spot, perp
        out_int[count, 3] = at_us - oldest_us
        out_float[count, 0], out_float[count, 1] = mid[spot], mid[perp]
        out_float[count, 2], out_float[count, 3] = rate, premium * BPS
        out_float[count, 4], out_float[count, 5] = carry, spot_quantity
        out_float[count, 6] = in_base(contracts, price, pairs.contract_size[k], pairs.inverse[k])
        count += 1
    return count


@njit(**LOOP)
def _scan(
    universe: Universe, pairs: BasisPairs, market: Market, rows: TopRows, mid: Float64Array,
    clock: Int64Array, interval_us: int, max_age_us: int, out_int: Int64Array,
    out_float: Float64Array,
) -> tuple[int, int]:  # fmt: skip
    """Take rows until done or until the output is full; rows taken, rows given."""
    count = 0
    for row in range(rows.time_us.size):
        now_us = rows.time_us[row]
        after_us = now_us // interval_us * interval_us + interval_us
        if clock[_NEXT] == NEVER_US:
            clock[_NEXT] = after_us
        while clock[_NEXT] <= now_us:
            if clock[_NEXT] > clock[_LATEST] + max_age_us:
                # Nothing is fresh at any end of an interval from there until this row.
                clock[_NEXT] = after_us
                break
            if count + pairs.spot.size > out_int.shape[0]:
                return row, count
            count = _sample(
                universe, pairs, market, mid, clock[_NEXT], max_age_us, count, out_int, out_float
            )
            clock[_NEXT] += interval_us
        take_row(market, rows, row)
        clock[_LATEST] = now_us
    return rows.time_us.size, count


@dataclass
class Basis:
    """Fold over quotes and books in the total order: a row a pair and interval.

    Attributes
    ----------
    interval_us : int
        Length of the intervals; the row stands at the end of one and knows nothing later.
    market : Market
        What was quoted last; CHANGED IN PLACE.
    clock : int64[2]
        Next end of an interval, and time of the latest row, ``NEVER_US`` before any; CHANGED IN
        PLACE.
    """

    universe: Universe
    pairs: BasisPairs
    interval_us: int
    max_age_us: int
    market: Market
    clock: Int64Array

    def step(self, rows: TopRows, watermark_us: int) -> Columns:
        """Take rows in order, then let pass the intervals that end by the watermark.

        Returns
        -------
        Columns
            ``INT_COLUMNS`` and ``FLOAT_COLUMNS``; quantities in base units on the sides that a
            carry trade would take.
        """
        parts: list[tuple[Int64Array, Float64Array]] = []
        mid = np.empty(self.market.size)
        done, room = 0, max(4_096, self.pairs.spot.size)
        while done < rows.time_us.size:
            out_int, out_float = _room_for(room)
            taken, count = _scan(
                self.universe, self.pairs, self.market, rows.after(done), mid, self.clock,
                self.interval_us, self.max_age_us, out_int, out_float,
            )  # fmt: skip
            done += taken
            parts.append((out_int[:count], out_float[:count]))
        fresh_until_us = min(watermark_us, int(self.clock[_LATEST]) + self.max_age_us)
        while NEVER_US < self.clock[_NEXT] <= fresh_until_us:
            out_int, out_float = _room_for(self.pairs.spot.size)
            count = _sample(
                self.universe, self.pairs, self.market, mid, int(self.clock[_NEXT]),
                self.max_age_us, 0, out_int, out_float,
            )  # fmt: skip
            self.clock[_NEXT] += self.interval_us
            parts.append((out_int[:count], out_float[:count]))
        parts.append(_room_for(0))
        ints = np.concatenate([part[0] for part in parts])
        floats = np.concatenate([part[1] for part in parts])
        return {
            **dict(zip(INT_COLUMNS, np.ascontiguousarray(ints.T), strict=True)),
            **dict(zip(FLOAT_COLUMNS, np.ascontiguousarray(floats.T), strict=True)),
        }


def new_clock() -> Int64Array:
    """Give the clock of a fold that has seen nothing."""
    return np.full(2, NEVER_US)


def _room_for(rows: int) -> tuple[Int64Array, Float64Array]:
    return (
        np.empty((rows, len(INT_COLUMNS)), np.int64),
        np.empty((rows, len(FLOAT_COLUMNS))),
    )
