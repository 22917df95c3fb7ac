"""Spreads as a person would compute them: dictionaries, no arrays, nothing of the folds.

Prices only: no depth, so that a quantity is what the smallest of the best prices allows.
"""

from __future__ import annotations

import math

MONEY = ("USD", "USDC", "USDT")
"""In the order in which a currency between two others is looked for."""


class Prices:
    """Last bid, ask and time of each instrument."""

    def __init__(self, instruments, max_age_us):
        self.instruments, self.max_age_us = list(instruments), max_age_us
        self.quoted = {}

    def fresh(self, code, now_us):
        return code in self.quoted and now_us - self.quoted[code]["time"] <= self.max_age_us

    def members(self, base):
        return [c for c, i in enumerate(self.instruments) if i.base == base and i.market != "perp"]

    def direct(self, sold, bought, near, far, now_us):
        """Rate and fee of the best placed converter, or None."""
        found = []
        for code, i in enumerate(self.instruments):
            if i.market == "perp" or not self.fresh(code, now_us):
                continue
            if i.base not in MONEY or i.quote not in MONEY:
                continue
            if (i.base, i.quote) == (sold, bought):
                rate = self.quoted[code]["bid"]
                takes = self.quoted[code].get("bid_size", math.inf)
            elif (i.quote, i.base) == (sold, bought):
                rate = 1.0 / self.quoted[code]["ask"]
                takes = self.quoted[code].get("ask_size", math.inf) * self.quoted[code]["ask"]
            else:
                continue
            if not rate > 0:
                continue
            rank = 2 if i.venue == far else 1 if i.venue == near else 0
            placed = (-rank, -self.quoted[code]["time"], code)
            leg = (code, "sell" if i.base == sold else "buy")
            found.append((*placed, rate, i.taker_fee_bps, takes, [leg]))
        if not found:
            return None
        return min(found)[3:]

    def convert(self, sold, bought, near, far, now_us):
        """Rate, fee, how much of what is sold can be converted, and the legs it takes."""
        if sold == bought:
            return 1.0, 0.0, math.inf, []
        direct = self.direct(sold, bought, near, far, now_us)
        if direct is not None:
            return direct
        for between in MONEY:
            if between in (sold, bought):
                continue
            one = self.direct(sold, between, near, far, now_us)
            two = self.direct(between, bought, near, far, now_us)
            if one and two:
                takes = min(one[2], two[2] / one[0])
                return one[0] * two[0], one[1] + two[1], takes, one[3] + two[3]
        return None

    def spread(self, buy, sell, now_us):
        """Rate, gross and fees in bps, what can be converted and how; None without a trade."""
        here, there = self.instruments[buy], self.instruments[sell]
        if here.venue == there.venue:
            return None
        if not (self.fresh(buy, now_us) and self.fresh(sell, now_us)):
            return None
        ask, bid = self.quoted[buy]["ask"], self.quoted[sell]["bid"]
        if math.isnan(ask) or math.isnan(bid):
            return None
        way = self.convert(there.quote, here.quote, here.venue, there.venue, now_us)
        if way is None:
            return None
        rate, fee, takes, legs = way
        gross = (bid * rate / ask - 1.0) * 1e4
        return rate, gross, here.taker_fee_bps + there.taker_fee_bps + fee, takes, legs


class Hunter:
    """Opportunities: one row a moment and opportunity."""

    def __init__(self, prices, min_net_bps, min_notional):
        self.prices, self.min_net_bps, self.min_notional = prices, min_net_bps, min_notional
        self.open, self.rows = {}, []

    def row(self, pair, status, now_us):
        quoted, kept = self.prices.quoted, self.open[pair]
        ages = tuple(now_us - quoted[c]["time"] for c in pair)
        self.rows.append((now_us, status, *pair, *ages, kept["since"], *kept["figures"]))

    def expire(self, before_us, base=None):
        for pair in sorted(self.open):
            if base is not None and self.prices.instruments[pair[0]].base != base:
                continue
            expiry = min(self.prices.quoted[c]["time"] for c in pair) + self.prices.max_age_us
            if expiry < before_us:
                self.row(pair, "close", expiry + 1)
                del self.open[pair]

    def moment(self, now_us, quotes):
        """Take all quotes of one moment: ``(code, bid, bid size, ask, ask size)``."""
        for code, *_ in quotes:
            self.expire(now_us, self.prices.instruments[code].base)
        for code, bid, bid_size, ask, ask_size in quotes:
            self.prices.quoted[code] = {
                "time": now_us, "bid": bid, "ask": ask, "bid_size": bid_size, "ask_size": ask_size
            }  # fmt: skip
        pairs = set()
        for code, *_ in quotes:
            instrument = self.prices.instruments[code]
            if instrument.market != "perp":
                for other in self.prices.members(instrument.base):
                    if other != code:
                        pairs |= {(code, other), (other, code)}
        for pair in sorted(pairs):
            self.judge(pair, now_us)

    def judge(self, pair, now_us):
        buy, sell = pair
        quoted = self.prices.quoted
        found = self.prices.spread(buy, sell, now_us)
        pays = False
        if found is not None:
            rate, gross, fees, takes, _ = found
            sizes = quoted[buy]["ask_size"], quoted[sell]["bid_size"]
            size = min(*sizes, takes / quoted[sell]["bid"])
            figures = (quoted[buy]["ask"], quoted[sell]["bid"], rate, gross, fees, size)
            net = gross - fees
            pays = net > self.min_net_bps and size * quoted[buy]["ask"] >= self.min_notional
            if pair in self.open:
                self.open[pair]["figures"] = figures
        if pair in self.open:
            if not pays:
                self.row(pair, "close", now_us)
                del self.open[pair]
            elif net > self.open[pair]["peak"]:
                self.open[pair]["peak"] = net
                self.row(pair, "update", now_us)
        elif pays:
            self.open[pair] = {"since": now_us, "peak": net, "figures": figures}
            self.row(pair, "open", now_us)
