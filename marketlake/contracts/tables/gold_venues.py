"""Tables of the gold layer across instruments and venues: spreads, triangles, basis."""

from __future__ import annotations

from typing import Final

from marketlake.contracts.tables.columns import (
    COSTS,
    DURATION,
    EVENT_DATE,
    EVENT_TIME,
    MARKET,
    PEAK,
    VENUE,
)
from marketlake.contracts.tables.table import Table, column
from marketlake.contracts.types import DOUBLE, STRING, TIMESTAMP

GOLD_SPREADS: Final = Table(
    "gold",
    "spreads",
    (
        column("opportunity_id", STRING, "names one opportunity, or one study series"),
        EVENT_TIME,
        column("status", STRING, "open, update or close"),
        column("base", STRING, "base asset"),
        column("buy_venue", STRING, "where to buy"),
        column("buy_instrument", STRING, "what to buy"),
        column("buy_price", DOUBLE, "in the buy instrument's quote currency"),
        column("sell_venue", STRING, "where to sell"),
        column("sell_instrument", STRING, "what to sell"),
        column("sell_price", DOUBLE, "in the sell instrument's quote currency"),
        column(
            "quantity",
            DOUBLE,
            "base units up to which each further one pays, through all books; prices and rate are "
            "averages over it; null if indicative",
            null=True,
        ),
        column("notional", DOUBLE, "quantity x buy price; null if indicative", null=True),
        column("conversion_rate", DOUBLE, "buy quote currency for one of the sell quote currency"),
        column("gross_bps", DOUBLE, "sell price converted over buy price, less one"),
        column("fees_bps", DOUBLE, "both taker fees and the conversion's"),
        column("net_bps", DOUBLE, "gross less fees and costs"),
        column("buy_age_ms", DOUBLE, "age of the buy price"),
        column("sell_age_ms", DOUBLE, "age of the sell price"),
        column(
            "price_basis", STRING, "executable: quotes, books; indicative: bars, for study only"
        ),
        COSTS,
        DURATION,
        PEAK,
        column("capacity", DOUBLE, "largest quantity so far; null if indicative", null=True),
        column(
            "capacity_notional", DOUBLE, "notional of the capacity; null if indicative", null=True
        ),
        MARKET,
        EVENT_DATE,
    ),
    ("opportunity_id", "event_time"),
    "Cross-venue spreads net of fees and costs, quote currencies converted.",
)

GOLD_TRIANGLES: Final = Table(
    "gold",
    "triangles",
    (
        column("opportunity_id", STRING, "names one opportunity, or one study series"),
        EVENT_TIME,
        column("status", STRING, "open, update or close"),
        VENUE,
        column("cycle", STRING, "assets in the order in which they are held: USDT>BTC>ETH>USDT"),
        column(
            "quantity",
            DOUBLE,
            "units of the first asset up to which each further one pays, through all books; null "
            "if indicative",
            null=True,
        ),
        column("gross_bps", DOUBLE, "what comes back over what was put in, less one"),
        column("fees_bps", DOUBLE, "taker fees of all legs"),
        column("net_bps", DOUBLE, "gross less fees and costs"),
        column("oldest_age_ms", DOUBLE, "age of the oldest price"),
        column(
            "price_basis", STRING, "executable: quotes, books; indicative: bars, for study only"
        ),
        COSTS,
        DURATION,
        PEAK,
        column("capacity", DOUBLE, "largest quantity so far; null if indicative", null=True),
        MARKET,
        EVENT_DATE,
    ),
    ("opportunity_id", "event_time"),
    "Ways round one venue, of three legs or more, net of fees and costs.",
)

GOLD_BASIS: Final = Table(
    "gold",
    "basis",
    (
        VENUE,
        column("base", STRING, "base asset"),
        column("spot_instrument", STRING, "spot instrument"),
        column("perp_instrument", STRING, "perpetual of the same venue"),
        column("event_time", TIMESTAMP, "end of the interval; nothing later is known to the row"),
        column("spot_price", DOUBLE, "mid price for one base, in the spot's quote currency"),
        column("perp_price", DOUBLE, "mid price for one base, in the perpetual's quote currency"),
        column("basis_bps", DOUBLE, "perpetual's price converted over the spot's, less one"),
        column(
            "annualised_carry",
            DOUBLE,
            "funding of a year at this basis, a fraction, longs to shorts: 8760 / hours x (basis + "
            "clamp(interest - basis, -damper, damper)); null where the formula is not known",
            null=True,
        ),
        column("conversion_rate", DOUBLE, "spot's quote currency for one of the perpetual's"),
        column(
            "spot_quantity", DOUBLE, "size, in base, at the best price of the side a carry takes"
        ),
        column("perp_quantity", DOUBLE, "contracts turned into base, likewise"),
        column("oldest_age_ms", DOUBLE, "age of the older price"),
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "base", "spot_instrument", "perp_instrument", "event_time"),
    "Perpetual against spot at one venue, once an interval: a position to carry, no arbitrage.",
)
