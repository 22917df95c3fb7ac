"""Seeded wire messages of one input, with every fault of delivery, and a fold driven over them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import msgspec
import numpy as np

from marketlake.contracts.control import Control
from marketlake.feeds.simulator import SimulationConfig, fuzz_messages, simulate
from marketlake.settings.model import load_settings
from streaming.stages.fold_output import INTERVALS
from streaming.stages.indicators import bank_of
from streaming.stages.lane_fold import LaneFold
from streaming.stages.silver import silver_table

INTERVAL_OF_BAR_US = 60_000_000
DURATION_S = {"trade": 90, "quote": 900, "book": 600, "bar": 1_800}
RATES = {"trade": 8.0, "quote": 0.8, "book": 0.8, "bar": 0.01}
OTHERS = {"trade": 0.05, "quote": 0.05, "book": 0.05, "bar": 0.003}
"""Share of the other types that stray into the topic."""

SETTINGS = load_settings(
    # Little lateness, so that late rows occur; short windows, so that runs begin and end.
    stream={"lateness_ms": 4_000, "quote_lateness_ms": 4_000},
    bars={"intervals": ("1s", "1m"), "anomaly_intervals": ("1s", "1m")},
    anomalies={
        "window_bars": 6, "min_bars": 3, "enter_score": 2.0, "exit_score": 1.0, "max_run_bars": 4,
        "robust_enter_score": 2.0, "robust_exit_score": 1.0, "half_life_bars": 4,
        "robust_window_bars": 5, "seasonal_slots": 1440 // 5,
    },
)  # fmt: skip


@dataclass
class Wire:
    """Messages in source order, with the source's timestamps."""

    messages: list[bytes | None]
    times_us: np.ndarray


def wire(event_type: str, seed: int, *, fuzz: int = 150) -> Wire:
    """Simulated messages of one type, late, doubled and reordered; conflicts, other types, fuzz."""
    market = simulate(
        SimulationConfig(
            seed=seed,
            duration_s=DURATION_S[event_type],
            instruments=("BTC-USDT", "ETH-USDT", "USDC-USD", "USDC-USDT", "BTC-USD"),
            trades_per_second=RATES["trade"] if event_type in ("trade", "bar") else 0.05,
            quotes_per_second=RATES["quote"] if event_type == "quote" else 0.01,
            books_per_second=RATES["book"] if event_type == "book" else 0.01,
            late_rate=0.1,
            late_max_s=20.0,
            duplicate_rate=0.05,
            reorder_rate=0.1,
            incidents=(),
        )
    )
    rng = np.random.default_rng(seed)
    junk = [*fuzz_messages(seed, fuzz), None]
    messages: list[bytes | None] = []
    times: list[int] = []
    latest_us = market.config.start_time_us
    for kind, _, value in market.messages():
        if kind != event_type and rng.random() > OTHERS[event_type]:
            continue
        event = json.loads(value)
        latest_us = max(latest_us, event["event_time_us"])
        for faulty in _beside(rng, event_type, event, junk):
            messages.append(faulty)
            times.append(latest_us)
        messages.append(value)
        times.append(latest_us)
    return Wire(messages, np.array(times, np.int64))


def _beside(rng, event_type, event, junk):
    if rng.random() < 0.1:
        yield junk[int(rng.integers(len(junk)))]
    if rng.random() < 0.05:
        name = {"trade": "price", "quote": "bid_quantity", "bar": "volume"}.get(event_type)
        changed = dict(event)
        if name in changed:
            changed[name] = round(changed[name] * 1.5, 4)
        yield msgspec.json.encode(changed)
    if rng.random() < 0.05:
        # Without the venue's own key the content is the key.
        bare = {k: v for k, v in event.items() if k not in ("sequence", "trade_id")}
        yield msgspec.json.encode(bare)


@dataclass
class Run:
    """Everything that a fold gave, in a form that equal bits make equal."""

    reasons: list[int] = field(default_factory=list)
    silver: list[dict[str, object]] = field(default_factory=list)
    bars: list[tuple] = field(default_factory=list)
    indicators: dict[tuple, bytes] = field(default_factory=dict)
    anomalies: list[str] = field(default_factory=list)
    tops: list[tuple] = field(default_factory=list)
    microstructure: list[tuple] = field(default_factory=list)
    state: list[tuple] = field(default_factory=list)

    def take(self, fold, judged, output):
        """Add what one step gave."""
        if judged is not None:
            self.reasons += judged.reasons.tolist()
            if judged.rows is not None and judged.admitted.any():
                table = silver_table(
                    judged.rows, judged.admitted, judged.codes, fold.catalog, judged.content
                )
                self.silver += table.to_pylist()
        if output.bars:
            names = [n for n in output.bars if n not in ("instrument", "interval", "open_time_us")]
            for i, code in enumerate(output.bars["instrument"]):
                at = fold.catalog.instruments[int(code)]
                interval = INTERVALS[int(output.bars["interval"][i])]
                opened = int(output.bars["open_time_us"][i])
                key = (at.venue, at.instrument, interval, opened)
                self.bars.append((key, b"".join(output.bars[n][i].tobytes() for n in names)))
                assert output.indicators.shape[0] == len(bank_of(SETTINGS.indicators).columns)
                assert key not in self.indicators, "two bars of one key"
                self.indicators[key] = output.indicators[:, i].tobytes()
        # repr of a float tells every bit but the payload of a NaN.
        self.anomalies += [repr(a) for a in output.anomalies]
        if output.microstructure:
            self.microstructure += _words(fold, output.microstructure)
        if output.tops:
            self.tops += _words(fold, output.tops)

    def done(self, fold):
        """Put into one order what has no order between series; take the state."""
        self.bars.sort()
        self.indicators = dict(sorted(self.indicators.items()))
        self.anomalies.sort()
        self.microstructure.sort()
        self.state = rows_of(fold.state())
        return self


def _words(fold, columns):
    """Rows as venue, instrument and the bytes of all else, the time first."""
    names = [n for n in columns if n != "instrument"]
    for i, code in enumerate(columns["instrument"]):
        at = fold.catalog.instruments[int(code)]
        yield at.venue, at.instrument, b"".join(columns[n][i].tobytes() for n in names)


def rows_of(table):
    """Rows of an Arrow table as tuples."""
    return list(zip(*table.to_pydict().values(), strict=True))


def run(event_type, stream, cuts=(), controls=None, *, restart=False, settings=SETTINGS):
    """Fold a stream, cut at some places, control events before the message at their position."""
    controls = controls or {}
    fold, out = LaneFold(event_type, settings), Run()
    bounds = sorted({0, len(stream.messages), *cuts, *controls})
    for begin, end in zip(bounds, [*bounds[1:], None], strict=True):
        for event in controls.get(begin, ()):
            out.take(fold, None, fold.control(event))
        if end is not None:
            judged, output = fold.step(stream.messages[begin:end], stream.times_us[begin:end])
            out.take(fold, judged, output)
        if restart:
            restored = LaneFold(event_type, settings)
            restored.restore(fold.state())
            assert restored.state() == fold.state()
            fold = restored
    return out.done(fold)


def end_of(stream):
    """Control event that ends a stream: everything in it is passed."""
    last_us = int(stream.times_us[-1]) + 3_600_000_000
    return {len(stream.messages): [Control("end", last_us)]}
