"""Triangles as a person would find and price them: permutations and dictionaries."""

from __future__ import annotations

import math
from itertools import permutations


def pairs_of(instruments, venue):
    """Spot instruments of a venue by the set of their assets."""
    return {
        (i.base, i.quote): code
        for code, i in enumerate(instruments)
        if i.venue == venue and i.market == "spot"
    }


def cycles(instruments, longest):
    """Every directed cycle: ``(venue, assets)``, begun anywhere; as sets of rotations."""
    found = set()
    for venue in {i.venue for i in instruments}:
        pairs = pairs_of(instruments, venue)
        assets = sorted({a for pair in pairs for a in pair})
        for length in range(3, longest + 1):
            for path in permutations(assets, length):
                steps = zip(path, (*path[1:], path[0]), strict=True)
                if all((a, b) in pairs or (b, a) in pairs for a, b in steps):
                    least = path.index(min(path))
                    found.add((venue, path[least:] + path[:least]))
    return found


class Round:
    """One directed cycle at prices: levels by instrument code."""

    def __init__(self, instruments, venue, assets):
        pairs = pairs_of(instruments, venue)
        self.legs = []
        for a, b in zip(assets, (*assets[1:], assets[0]), strict=True):
            if (a, b) in pairs:
                self.legs.append((pairs[a, b], "sell"))
            else:
                self.legs.append((pairs[b, a], "buy"))
        self.fees = sum(instruments[code].taker_fee_bps for code, _ in self.legs)

    def top(self, quoted):
        """Gross bps and what may go round at the best prices, in the first asset."""
        amount, most = 1.0, math.inf
        for code, side in self.legs:
            quote = quoted[code]
            if side == "sell":
                most = min(most, quote["bid_size"] / amount)
                amount *= quote["bid"]
            else:
                most = min(most, quote["ask_size"] * quote["ask"] / amount)
                amount /= quote["ask"]
        return (amount - 1.0) * 1e4, most


class Hunter:
    """Every cycle at every moment, from scratch: quotes only, no depth."""

    def __init__(self, rounds, smallest, min_net_bps, slippage_bps, max_age_us):
        self.rounds, self.smallest = rounds, smallest
        self.min_net_bps, self.slippage_bps, self.max_age_us = min_net_bps, slippage_bps, max_age_us
        self.quoted, self.open, self.rows = {}, {}, []

    def oldest(self, cycle):
        return min(self.quoted[code]["time"] for code, _ in self.rounds[cycle].legs)

    def row(self, cycle, status, now_us):
        kept = self.open[cycle]
        age = now_us - self.oldest(cycle)
        life = kept["since"], kept["peak"], kept["capacity"]
        self.rows.append((now_us, status, cycle, age, *life, *kept["figures"]))

    def expire(self, before_us):
        for cycle in sorted(self.open):
            expiry = self.oldest(cycle) + self.max_age_us
            if expiry < before_us:
                self.row(cycle, "close", expiry + 1)
                del self.open[cycle]

    def moment(self, now_us, quotes):
        """Take all quotes of one moment, then look at every cycle there is."""
        self.expire(now_us)
        for code, bid, bid_size, ask, ask_size in quotes:
            self.quoted[code] = {
                "time": now_us, "bid": bid, "ask": ask, "bid_size": bid_size, "ask_size": ask_size
            }  # fmt: skip
        for cycle in sorted(self.rounds):
            self.judge(cycle, now_us)

    def judge(self, cycle, now_us):
        one = self.rounds[cycle]
        if any(code not in self.quoted for code, _ in one.legs):
            return
        pays = now_us - self.oldest(cycle) <= self.max_age_us
        sides = [self.quoted[code]["bid" if side == "sell" else "ask"] for code, side in one.legs]
        pays = pays and not any(math.isnan(price) for price in sides)
        costs = self.slippage_bps * len(one.legs)
        if pays:
            gross, most = one.top(self.quoted)
            net = gross - one.fees - costs
            pays = net > self.min_net_bps and most >= self.smallest[cycle]
            if cycle in self.open:
                self.open[cycle]["figures"] = gross, one.fees, costs, most
        if cycle in self.open:
            kept = self.open[cycle]
            if not pays:
                self.row(cycle, "close", now_us)
                del self.open[cycle]
                return
            kept["capacity"] = max(kept["capacity"], most)
            if net > kept["peak"]:
                kept["peak"] = net
                self.row(cycle, "update", now_us)
        elif pays:
            self.open[cycle] = {
                "since": now_us, "peak": net, "capacity": most,
                "figures": (gross, one.fees, costs, most),
            }  # fmt: skip
            self.row(cycle, "open", now_us)
