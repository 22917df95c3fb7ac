"""A walk through books as a person would check it: every breakpoint, evaluated from scratch."""

from __future__ import annotations

import math
from itertools import pairwise


def through(leg, amount):
    """What comes out of one leg for an amount put in; nothing of the folds' stepping."""
    side, levels = leg
    out = 0.0
    for price, size in levels:
        takes = min(amount, size if side == "sell" else size * price)
        out += takes * price if side == "sell" else takes / price
        amount -= takes
    assert amount <= 1e-9 * max(1.0, out)
    return out


def back_through(leg, wanted):
    """What has to be put into one leg to get an amount out of it."""
    side, levels = leg
    put = 0.0
    for price, size in levels:
        gives = min(wanted, size * price if side == "sell" else size)
        put += gives / price if side == "sell" else gives * price
        wanted -= gives
    return put if wanted <= 1e-9 * max(1.0, put) else math.inf


def capacity(legs):
    """Largest amount that may be put into the first leg so that every leg can take it."""
    most = math.inf
    for k, (side, levels) in enumerate(legs):
        put = sum(size if side == "sell" else size * price for price, size in levels)
        for leg in reversed(legs[:k]):
            put = back_through(leg, put)
        most = min(most, put)
    return most


def breakpoints(legs):
    """Amounts put in at which one of the legs comes to its next level, and the capacity."""
    most = capacity(legs)
    points = {0.0, most}
    for k, (side, levels) in enumerate(legs):
        put = 0.0
        for price, size in levels:
            put += size if side == "sell" else size * price
            amount = put
            for leg in reversed(legs[:k]):
                amount = back_through(leg, amount)
            if amount < most:
                points.add(amount)
    return sorted(points)


def chain(legs, amount):
    """Amounts out of each leg."""
    out = []
    for leg in legs:
        amount = through(leg, amount)
        out.append(amount)
    return out


def walk(legs, costs_bps, floor_bps):
    """Amount put in, and amounts out of each leg, up to where one more unit no longer pays."""
    points = breakpoints(legs)
    spent = 0.0
    for low, high in pairwise(points):
        if high - low <= 1e-12 * high:
            continue
        marginal = (chain(legs, high)[-1] - chain(legs, low)[-1]) / (high - low)
        if not (marginal - 1.0) * 1e4 - costs_bps > floor_bps:
            break
        spent = high
    return spent, chain(legs, spent)
