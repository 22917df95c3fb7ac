"""What the daily job adds up, added up again by plain Python and pandas over the lake's rows."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from datetime import UTC, date, datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marketlake.lake.query import open_lake


def rows_of(lake: Path, table: str, day: date) -> pd.DataFrame:
    return open_lake(str(lake)).sql(f"SELECT * FROM {table} WHERE date = '{day}'").df()


def summary_by_hand(lake: Path, day: date) -> dict[tuple[str, str], dict[str, Any]]:
    """The summary in plain Python over the rows of gold."""
    bars, spreads = rows_of(lake, "gold.bars", day), rows_of(lake, "gold.spreads", day)
    anomalies = rows_of(lake, "gold.anomalies", day)
    out = {}
    minutes = bars[bars["interval"] == "1m"]
    for key, all_bars in minutes.groupby(["venue", "instrument"]):
        origin = "trades" if "trades" in set(all_bars["origin"]) else "venue"
        own = all_bars[all_bars["origin"] == origin].sort_values("open_time")
        closes = own["close"].tolist()
        steps = [math.log(b / a) for a, b in pairwise(closes)]
        legs = [
            float(row["net_bps"])
            for _, row in spreads.iterrows()
            if key
            in (
                (row["buy_venue"], row["buy_instrument"]),
                (row["sell_venue"], row["sell_instrument"]),
            )
        ]
        out[key] = {
            "open": own["open"].iloc[0],
            "high": own["high"].max(),
            "low": own["low"].min(),
            "close": closes[-1],
            "volume": math.fsum(own["volume"]),
            "vwap": math.fsum(own["quote_volume"]) / math.fsum(own["volume"])
            if origin == "trades"
            else None,
            "log_return": math.log(closes[-1] / own["open"].iloc[0]),
            "realised_volatility": math.sqrt(math.fsum(s * s for s in steps)) if steps else None,
            "trade_count": int(own["trade_count"].sum()),
            "anomaly_count": int(
                ((anomalies["venue"] == key[0]) & (anomalies["instrument"] == key[1])).sum()
            ),
            "best_net_bps": max(legs, default=None),
        }
    return out


def tops_by_hand(lake: Path, day: date) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """Time, rank and middle of quotes and books, in order, a venue and instrument."""
    tops: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for _, row in rows_of(lake, "silver.quotes", day).iterrows():
        middle = (row["bid_price"] + row["ask_price"]) / 2
        key = row["venue"], row["instrument"]
        tops.setdefault(key, []).append((row["event_time"], 1, row["sequence"], middle))
    for _, row in rows_of(lake, "silver.books", day).iterrows():
        if len(row["bids"]) and len(row["asks"]):
            middle = (row["bids"][0]["price"] + row["asks"][0]["price"]) / 2
            key = row["venue"], row["instrument"]
            tops.setdefault(key, []).append((row["event_time"], 0, row["sequence"], middle))
    return {key: sorted(own) for key, own in tops.items()}


def spreads_by_hand(lake: Path, day: date) -> dict[tuple[str, str], float]:
    """Effective spreads in plain Python: each trade against the top just before it."""
    tops = tops_by_hand(lake, day)
    out = {}
    for key, own in rows_of(lake, "silver.trades", day).groupby(["venue", "instrument"]):
        quoted = tops.get(key, [])
        times = [top[0] for top in quoted]
        paid, traded, last, sign = [], [], 0.0, 0.0
        for _, trade in own.sort_values(["event_time", "sequence", "trade_id"]).iterrows():
            at = bisect_left(times, trade["event_time"]) - 1
            if at < 0 or trade["event_time"] - times[at] > pd.Timedelta(seconds=5):
                continue
            middle, price = quoted[at][3], trade["price"]
            if trade["side"] in ("buy", "sell"):
                sign = 1.0 if trade["side"] == "buy" else -1.0
            elif price != middle:
                sign = 1.0 if price > middle else -1.0
            elif last and price != last:
                sign = 1.0 if price > last else -1.0
            last = price
            paid.append(2e4 * sign * (price - middle) / middle * trade["quantity"])
            traded.append(trade["quantity"])
        if traded:
            out[key] = math.fsum(paid) / math.fsum(traded)
    return out


def links_by_hand(lake: Path, day: date) -> dict[tuple[str, str, str], pd.Series]:
    """Correlations of the returns of a minute, by lead, in pandas."""
    bars = rows_of(lake, "gold.bars", day)
    bars = bars[(bars["interval"] == "1m") & (bars["volume"] > 0)]
    first = bars.groupby(["venue", "instrument"])["origin"].transform("min")
    closes = bars[bars["origin"] == first].set_index("open_time")
    out = {}
    for instrument, own in closes.groupby("instrument"):
        wide = own.pivot_table(index="open_time", columns="venue", values="close")
        grid = pd.date_range(wide.index.min(), wide.index.max(), freq="min")
        returns = np.log(wide.reindex(grid)).diff()
        for one, other in combinations(sorted(wide.columns), 2):
            out[one, other, instrument] = pd.Series(
                {
                    lead: returns[one].corr(returns[other].shift(-lead), min_periods=30)
                    for lead in range(-5, 6)
                }
            )
    return out


def quality_by_hand(lake: Path, day: date, key: tuple[str, str]) -> dict[str, Any]:
    """What silver, quarantine and anomalies tell of one instrument on one venue."""
    connection = open_lake(str(lake))
    trades = rows_of(lake, "silver.trades", day)
    own = trades[(trades["venue"] == key[0]) & (trades["instrument"] == key[1])]
    delays = sorted(
        ((own["received_time"] - own["event_time"]) / pd.Timedelta(milliseconds=1)).dropna()
    )
    refused = [
        reasons
        for venue, instrument, reasons, value in connection.sql(
            "SELECT venue, instrument, reasons, value FROM silver.quarantine"
        ).fetchall()
        if (venue, instrument) == key and day_of(value) == day
    ]
    silent = rows_of(lake, "gold.anomalies", day)
    silent = silent[
        (silent["kind"] == "stale_feed")
        & (silent["venue"] == key[0])
        & (silent["instrument"] == key[1])
    ]
    return {
        "lateness_p99_ms": delays[math.ceil(0.99 * len(delays)) - 1] if delays else None,
        "refused": len(refused),
        "duplicates": sum("duplicate" in reasons for reasons in refused),
        "too_late": sum("too_late" in reasons for reasons in refused),
        "stale_s": (silent["end_time"] - silent["event_time"]).dt.total_seconds().sum(),
    }


def day_of(value: bytes) -> date | None:
    """The UTC day of the event in a message, if it has one."""
    try:
        time_us = json.loads(value)["event_time_us"]
        return datetime.fromtimestamp(time_us / 1e6, UTC).date()
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
