"""A small lake from a seed, with facts that tests know: a depeg, a gap, refused messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from marketlake.contracts import tables

START = datetime(2023, 3, 10, 12, tzinfo=UTC)
MINUTES = 2 * 1440
DEPEG_AT = START + timedelta(minutes=1155)
DEPEG_LOW = 0.874
GAP = range(600, 690)
"""Minutes that kraken's BTC-USDT lacks."""
VENUES = {
    "BTC-USDT": ("binanceus", "bybit", "coinbase", "kraken"),
    "ETH-USDT": ("binanceus", "coinbase"),
    "USDC-USD": ("kraken",),
}
REASONS = ("inconsistent_bar", "duplicate", "too_late", "non_positive_price")
INDICATORS = dict.fromkeys(
    (
        "sma_20",
        "sma_50",
        "rsi_14",
        "macd_12_26_9",
        "macd_signal_12_26_9",
        "macd_hist_12_26_9",
        "bollinger_upper_20_2",
        "bollinger_middle_20_2",
        "bollinger_lower_20_2",
    ),
    "",
)


def write(lake: Path, table: tables.Table, rows: pa.Table | list[dict[str, Any]]) -> None:
    """Append rows to a table of the lake, as the contract has its columns."""
    if isinstance(rows, list):
        rows = pa.Table.from_pylist(rows, schema=table.arrow_schema)
    write_deltalake(
        lake / table.path,
        rows.select(table.arrow_schema.names).cast(table.arrow_schema),
        mode="append",
        partition_by=list(table.partition_by),
    )


def create_empty(lake: Path) -> None:
    """Make every table without a row."""
    for table in (*tables.STREAM_TABLES, tables.indicators_table(INDICATORS)):
        DeltaTable.create(
            lake / table.path, schema=table.arrow_schema, partition_by=list(table.partition_by)
        )


def build(lake: Path, seed: int = 7) -> None:
    """Write bars, indicators, anomalies, spreads, trades, quarantine and bronze."""
    rng = np.random.default_rng(seed)
    frames = [
        _bars(rng, venue, instrument) for instrument, venues in VENUES.items() for venue in venues
    ]
    bars = pa.concat_tables(frames)
    write(lake, tables.GOLD_BARS, bars)
    write(lake, tables.SILVER_BARS, _published(bars))
    write(lake, tables.indicators_table(INDICATORS), pa.concat_tables(map(_indicators, frames)))
    write(lake, tables.GOLD_ANOMALIES, _anomalies(rng))
    write(lake, tables.GOLD_SPREADS, _spreads(rng))
    write(lake, tables.GOLD_TRIANGLES, _triangles())
    write(lake, tables.GOLD_BASIS, _basis())
    quarantine = _quarantine()
    write(lake, tables.SILVER_QUARANTINE, quarantine)
    write(lake, tables.BRONZE_EVENTS, _bronze(bars.num_rows + len(quarantine)))


def _times(minutes: np.ndarray) -> pa.Array:
    micros = int(START.timestamp()) * 1_000_000 + minutes.astype(np.int64) * 60_000_000
    return pa.array(micros).cast(pa.timestamp("us", tz="UTC"))


def _bars(rng: np.random.Generator, venue: str, instrument: str) -> pa.Table:
    minutes = np.arange(MINUTES)
    common = np.random.default_rng(len(instrument) + ord(instrument[0])).normal(0, 6e-4, MINUTES)
    start = {"BTC-USDT": 20_500.0, "ETH-USDT": 1_440.0, "USDC-USD": 1.0}[instrument]
    if instrument == "USDC-USD":
        dip = 0.11 * np.exp(-(((minutes - 1155) / 260.0) ** 2))
        close = 1.0 - dip + rng.normal(0, 8e-4, MINUTES)
    else:
        close = start * np.exp(np.cumsum(common)) * (1 + rng.normal(0, 3e-4, MINUTES))
    width = np.abs(rng.normal(0, 4e-4, MINUTES)) * close
    low, high = close - width, close + width
    if instrument == "USDC-USD":
        low[1155] = DEPEG_LOW
    keep = np.ones(MINUTES, bool)
    if (venue, instrument) == ("kraken", "BTC-USDT"):
        keep[GAP.start : GAP.stop] = False
    n = int(keep.sum())
    times = _times(minutes[keep])
    volume = rng.lognormal(0, 1, MINUTES)[keep]
    return pa.table(
        {
            "venue": [venue] * n,
            "instrument": [instrument] * n,
            "interval": ["1m"] * n,
            "origin": ["venue"] * n,
            "open_time": times,
            "open": close[keep],
            "high": high[keep],
            "low": low[keep],
            "close": close[keep],
            "volume": volume,
            "quote_volume": volume * close[keep],
            "vwap": close[keep],
            "trade_count": rng.integers(1, 90, n),
            "market": ["spot"] * n,
            "date": times.cast(pa.date32()),
        }
    )


def _published(bars: pa.Table) -> pa.Table:
    nulls = pa.nulls(bars.num_rows)
    return (
        bars.rename_columns({"open_time": "event_time"})
        .append_column("sequence", nulls.cast(pa.int64()))
        .append_column("received_time", nulls.cast(pa.timestamp("us", tz="UTC")))
    )


def _indicators(bars: pa.Table) -> pa.Table:
    """Plain moving statistics: the report only draws them."""
    close = bars["close"].to_numpy()

    def mean(values: np.ndarray, window: int) -> np.ndarray:
        sums = np.convolve(values, np.ones(window) / window)[: len(values)]
        sums[: window - 1] = np.nan
        return sums

    def smooth(values: np.ndarray, span: int) -> np.ndarray:
        weights = (1 - 2 / (span + 1)) ** np.arange(5 * span)
        return np.convolve(values, weights / weights.sum())[: len(values)]

    sma = mean(close, 20)
    deviation = np.sqrt(np.maximum(mean(close**2, 20) - sma**2, 0))
    change = np.diff(close, prepend=close[0])
    gain, loss = smooth(np.maximum(change, 0), 14), smooth(np.maximum(-change, 0), 14)
    macd = smooth(close - close[0], 12) - smooth(close - close[0], 26)
    signal = smooth(macd, 9)
    columns = {
        "sma_20": sma,
        "sma_50": mean(close, 50),
        "rsi_14": 100 * gain / np.maximum(gain + loss, 1e-12),
        "macd_12_26_9": macd,
        "macd_signal_12_26_9": signal,
        "macd_hist_12_26_9": macd - signal,
        "bollinger_upper_20_2": sma + 2 * deviation,
        "bollinger_middle_20_2": sma,
        "bollinger_lower_20_2": sma - 2 * deviation,
    }
    for name, values in columns.items():
        bars = bars.append_column(name, pa.array(values, from_pandas=True))
    return bars


def _anomalies(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for i in range(40):
        instrument = list(VENUES)[i % 3]
        minute = int(rng.integers(100, MINUTES - 10))
        score = float(rng.normal(0, 3)) + (6.0 if i % 2 else -6.0)
        rows.append(_anomaly(VENUES[instrument][0], instrument, minute, score, "return", i))
    rows.append(_anomaly("kraken", "USDC-USD", 1155, -41.5, "excursion", 99))
    return rows


def _anomaly(
    venue: str, instrument: str, minute: int, score: float, metric: str, i: int
) -> dict[str, Any]:
    at = START + timedelta(minutes=minute)
    return tables.GOLD_ANOMALIES.row(
        venue=venue,
        instrument=instrument,
        metric=metric,
        detector=f"rolling_zscore_{i}",
        event_time=at,
        interval="1m",
        end_time=at + timedelta(minutes=2),
        value=score * 4e-4,
        expected=0.0,
        scale=4e-4,
        score=score,
        severity="high" if abs(score) > 9 else "medium" if abs(score) > 6 else "low",
        kind="spike_up" if score > 0 else "spike_down",
        evidence=json.dumps({"bars": 2, "origin": "venue"}),
        market="spot",
        date=at.date(),
    )


def _spreads(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for minute in range(0, MINUTES, 5):
        burst = 55 * np.exp(-(((minute - 1155) / 200.0) ** 2))
        gross = float(abs(rng.normal(3, 3)) + burst)
        rows.append(_spread("study-BTC", minute, "update", gross, "indicative"))
    for minute, status in ((1150, "open"), (1155, "update"), (1160, "close")):
        gross = {1150: 24.0, 1155: 31.0, 1160: 19.0}[minute]
        rows.append(_spread("opportunity-1", minute, status, gross, "executable"))
    return rows


def _spread(name: str, minute: int, status: str, gross_bps: float, basis: str) -> dict[str, Any]:
    at = START + timedelta(minutes=minute)
    executable = basis == "executable"
    return tables.GOLD_SPREADS.row(
        opportunity_id=name,
        event_time=at,
        status=status,
        base="BTC",
        buy_venue="binanceus",
        buy_instrument="BTC-USDT",
        buy_price=20_500.0,
        sell_venue="kraken",
        sell_instrument="BTC-USDT",
        sell_price=20_500.0 * (1 + gross_bps / 1e4),
        quantity=0.4 if executable else None,
        notional=8_200.0 if executable else None,
        conversion_rate=1.0,
        gross_bps=gross_bps,
        fees_bps=20.0,
        net_bps=gross_bps - 20.0,
        buy_age_ms=120.0,
        sell_age_ms=80.0,
        price_basis=basis,
        market="spot",
        date=at.date(),
    )


def _triangles() -> list[dict[str, Any]]:
    rows = []
    for minute, status, gross_bps, basis in (
        (10, "update", 4.0, "indicative"), (11, "update", 9.0, "indicative"),
        (12, "open", 41.0, "executable"), (13, "update", 44.0, "executable"),
        (14, "close", 29.0, "executable"),
    ):  # fmt: skip
        at = START + timedelta(minutes=minute)
        rows.append(
            tables.GOLD_TRIANGLES.row(
                opportunity_id=f"triangle-{basis}",
                event_time=at,
                status=status,
                venue="kraken",
                cycle="USDT>BTC>ETH>USDT",
                gross_bps=gross_bps,
                fees_bps=30.0,
                net_bps=gross_bps - 30.0,
                price_basis=basis,
                capacity=2_500.0 if basis == "executable" else None,
                market="spot",
                date=at.date(),
            )
        )
    return rows


def _basis() -> list[dict[str, Any]]:
    rows = []
    for minute, basis_bps, carry in ((10, 2.0, 0.1095), (11, -7.0, -0.219), (12, 5.5, None)):
        at = START + timedelta(minutes=minute)
        rows.append(
            tables.GOLD_BASIS.row(
                venue="binance",
                base="BTC",
                spot_instrument="BTC-USDT",
                perp_instrument="BTC-USDT-PERP",
                event_time=at,
                basis_bps=basis_bps,
                annualised_carry=carry,
                market="perp",
                date=at.date(),
            )
        )
    return rows


def _quarantine() -> list[dict[str, Any]]:
    return [
        tables.SILVER_QUARANTINE.row(
            source="kafka",
            topic="market.bars",
            offset=offset,
            reasons=[REASONS[offset % 3], *([REASONS[3]] if offset % 10 == 0 else [])],
            value=b"{}",
            type="bar",
            venue="kraken" if offset % 2 else None,
            source_timestamp=START,
            date=START.date(),
        )
        for offset in range(30)
    ]


def _bronze(messages: int) -> list[dict[str, Any]]:
    common = {"source_timestamp": START, "ingest_time": START, "date": START.date()}
    rows = [
        tables.BRONZE_EVENTS.row(
            source="kafka", topic="market.bars", offset=offset, value=b"{}", **common
        )
        for offset in range(messages)
    ]
    control = tables.BRONZE_EVENTS.row(
        source="marketlake/end-of-input", topic="market.bars", offset=messages, **common
    )
    return [*rows, control]
