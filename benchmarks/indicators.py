"""Indicators against TA-Lib over whole columns, and against talipp bar by bar.

``python benchmarks/indicators.py --rounds 3``. In a round the contenders take turns, function by
function, so that drift meets both alike; a round's ratio is what counts, and the median of rounds
is given. Outputs are compared too: a fast wrong answer is refused.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from run import machine
from talib_functions import FUNCTIONS, difference, talib_columns
from talipp.indicators import ATR, EMA, MACD, RSI, SMA
from talipp.ohlcv import OHLCV

from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.indicators.registry import DEFAULT, indicator
from marketlake.analytics.kernel import Float64, Int64, initial_states

_HERE: Final = Path(__file__).resolve().parent
_SEED: Final = 1
_TOLERANCE: Final = 1e-9
_TURNS: Final = 3
"""Times that each function is called in a round, ours and theirs in turn."""
_CHUNK: Final = 1_000
_SERIES: Final = 1_000
_TALIPP_BARS: Final = 20_000
_COMPARED: Final = tuple(kernel.name for kernel in DEFAULT if type(kernel) in FUNCTIONS)
FIVE: Final = tuple(
    indicator(name) for name in ("sma_20", "ema_12", "rsi_14", "macd_12_26_9", "atr_14")
)
"""What both talipp and we compute, bar by bar."""
_START: Final = (
    "import numpy as np; from marketlake.analytics.indicators.bank import IndicatorBank as B; "
    "b = B(); one = np.ones(1); "
    "b.step(b.initial()[None, :].copy(), np.zeros(1, np.int64), {n: one for n in b.inputs})"
)
"""A process that takes its first bar: interpreter, imports, every loop read from numba's cache."""

Bars = dict[str, Float64]


@dataclass(frozen=True)
class Time:
    """Seconds of one contender at one piece of work in one round."""

    work: str
    contender: str
    round: int
    seconds: float


def make_bars(rows: int) -> Bars:
    """Make a seeded walk of a tenth of a percent a bar, with volume."""
    rng = np.random.default_rng(_SEED)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))
    open_ = np.concatenate([[100.0], close[:-1]])
    volume = 10.0 + 100.0 * rng.random(rows)
    return {
        "open": open_,
        "high": np.maximum(open_, close) * (1 + rng.random(rows) * 1e-3),
        "low": np.minimum(open_, close) * (1 - rng.random(rows) * 1e-3),
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
        "open_time_us": np.arange(rows) * 60e6,
    }


def seconds(work: Callable[[], object]) -> float:
    """Time one call, in CPU time: all of them run in one thread, and wait for nothing."""
    started = time.process_time()
    work()
    return time.process_time() - started


def step(kernels: tuple[RowKernel, ...], bars: Bars, series: Int64, count: int = 1) -> Float64:
    """Run a bank over all bars of ``count`` series at once."""
    bank = IndicatorBank(kernels)
    return bank.step(initial_states(bank.initial(), count), series, bars)


def columns_round(bars: Bars, round_: int) -> list[Time]:
    """Time every function that TA-Lib has, ours and theirs in turn.

    Raises
    ------
    SystemExit
        If the two do not agree.
    """
    times = []
    one_series = np.zeros(len(bars["close"]), np.int64)
    for kernel in (k for k in DEFAULT if type(k) in FUNCTIONS):
        function = FUNCTIONS[type(kernel)]
        if round_ == 1:
            apart = difference(
                kernel, bars, step((kernel,), bars, one_series), talib_columns(kernel, bars)
            ).max()
            if apart > _TOLERANCE:
                raise SystemExit(f"{kernel.name} differs from TA-Lib by {apart:.1e}")
        ours, theirs = zip(
            *(
                (
                    seconds(lambda kernel=kernel: step((kernel,), bars, one_series)),
                    seconds(lambda kernel=kernel, call=function.call: call(kernel, bars)),
                )
                for _ in range(_TURNS)
            ),
            strict=True,
        )
        times += [
            Time(kernel.name, "marketlake", round_, median(ours)),
            Time(kernel.name, "TA-Lib", round_, median(theirs)),
        ]
    return times


def together_round(bars: Bars, round_: int) -> list[Time]:
    """Time all of them together, every column kept: one call of a bank, one of each function."""
    kernels = tuple(k for k in DEFAULT if type(k) in FUNCTIONS)
    series = np.zeros(len(bars["close"]), np.int64)

    def theirs() -> list[Sequence[Float64]]:
        return [FUNCTIONS[type(kernel)].call(kernel, bars) for kernel in kernels]

    def ours() -> Float64:
        return step(kernels, bars, series)

    # Once before each: memory that a virtual machine touches for the first time costs more than
    # all the arithmetic.
    ours()
    own = seconds(ours)
    theirs()
    return [
        Time("together", "marketlake", round_, own),
        Time("together", "TA-Lib", round_, seconds(theirs)),
    ]


def bars_round(bars: Bars, round_: int) -> list[Time]:
    """Time five indicators bar by bar and in chunks; seconds are those of one bar."""
    high, low, close = (bars[name].tolist() for name in ("high", "low", "close"))
    count = _TALIPP_BARS
    candles = [
        OHLCV(c, h, lo, c, 1.0)
        for h, lo, c in zip(high[:count], low[:count], close[:count], strict=True)
    ]

    def talipp() -> None:
        lines = (SMA(20), EMA(12), RSI(14), MACD(12, 26, 9))
        ranges = ATR(14)
        for price, candle in zip(close[:count], candles, strict=True):
            for line in lines:
                line.add(price)
            ranges.add(candle)

    def chunks(size: int, rows: int) -> None:
        bank = IndicatorBank(FIVE)
        states, series = initial_states(bank.initial(), 1), np.zeros(size, np.int64)
        taken = [(name, bars[name]) for name in bank.inputs]
        for start in range(0, rows, size):
            bank.step(states, series, {n: column[start : start + size] for n, column in taken})

    whole = len(close) // _CHUNK * _CHUNK
    return [
        Time("a bar at a time", "talipp", round_, seconds(talipp) / count),
        Time("a bar at a time", "marketlake", round_, seconds(lambda: chunks(1, count)) / count),
        Time("chunks", "marketlake", round_, seconds(lambda: chunks(_CHUNK, whole)) / whole),
    ]


def bank_round(bars: Bars, round_: int) -> list[Time]:
    """Time the default bank on one series, on many that take turns, and a bar at a time."""
    rows = min(len(bars["close"]), 200_000)
    part = {name: column[:rows] for name, column in bars.items()}
    one, many = np.zeros(rows, np.int64), np.arange(rows) % _SERIES
    bank = IndicatorBank()
    states = initial_states(bank.initial(), 1)
    first = np.zeros(1, np.int64)

    def singly() -> None:
        for i in range(2_000):
            bank.step(states, first, {name: c[i : i + 1] for name, c in part.items()})

    return [
        Time("bank", "one series", round_, seconds(lambda: step(DEFAULT, part, one)) / rows),
        Time(
            "bank",
            "many series",
            round_,
            seconds(lambda: step(DEFAULT, part, many, _SERIES)) / rows,
        ),
        Time("bank", "a bar at a time", round_, seconds(singly) / 2_000),
    ]


def start_round(round_: int) -> list[Time]:
    """Time a process that reads every loop from the cache and takes one bar."""
    command = [sys.executable, "-c", _START]
    before, started = _children_s(), time.perf_counter()
    subprocess.run(command, check=True, cwd=_HERE.parent)
    return [
        Time("start", "wall", round_, time.perf_counter() - started),
        Time("start", "CPU", round_, _children_s() - before),
    ]


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def of(times: Sequence[Time], work: str, contender: str) -> list[float]:
    """Give the seconds of one piece of work, a round each."""
    return [t.seconds for t in times if (t.work, t.contender) == (work, contender)]


def markdown(times: Sequence[Time], rows: int) -> str:
    """Write the medians as tables for ``docs/benchmarks.md``."""
    works = [work for work in dict.fromkeys(t.work for t in times) if work in _COMPARED]
    lines = [
        f"| {rows:,} bars | TA-Lib | marketlake, ms | TA-Lib, ms | ratio |",
        "|---|---|---|---|---|",
    ]
    for work in works:
        ours, theirs = of(times, work, "marketlake"), of(times, work, "TA-Lib")
        ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
        names = FUNCTIONS[type(indicator(work))].names
        lines.append(
            f"| {work} | {names} | {median(ours) * 1e3:.1f} | {median(theirs) * 1e3:.1f} "
            f"| {ratio:.2f} |"
        )
    alone = [
        [sum(of(times, work, who)[i] for work in works) for i in range(_rounds(times))]
        for who in ("marketlake", "TA-Lib")
    ]
    together = [of(times, "together", who) for who in ("marketlake", "TA-Lib")]
    for title, (ours, theirs) in (("the sum of these", alone), ("all together", together)):
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(
            f"| **{title}** | | {median(ours) * 1e3:.0f} | {median(theirs) * 1e3:.0f} "
            f"| **{median(ratios):.2f}** ({each}) |"
        )
    return "\n".join([*lines, "", *_bar_lines(times)])


def _bar_lines(times: Sequence[Time]) -> list[str]:
    talipp = of(times, "a bar at a time", "talipp")
    singly, chunks = of(times, "a bar at a time", "marketlake"), of(times, "chunks", "marketlake")
    bank = IndicatorBank()
    lines = [
        "| five indicators (SMA, EMA, RSI, MACD, ATR) | ns a bar | talipp's time ÷ ours, a round |",
        "|---|---|---|",
        f"| talipp, a bar at a time | {median(talipp) * 1e9:,.0f} | |",
    ]
    for name, own in (("a bar at a time", singly), (f"chunks of {_CHUNK:,}", chunks)):
        ratios = " ".join(f"{t / o:,.1f}" for t, o in zip(talipp, own, strict=True))
        lines.append(f"| marketlake, {name} | {median(own) * 1e9:,.0f} | {ratios} |")
    lines += [
        "",
        f"| default bank: {len(bank.columns)} columns, {bank.width * 8:,} bytes a series | |",
        "|---|---|",
    ]
    for name, title in (
        ("one series", "200,000 bars of one series, ns a bar"),
        ("many series", f"200,000 bars of {_SERIES:,} series in turn, ns a bar"),
        ("a bar at a time", "a bar at a time, ns a bar"),
    ):
        lines.append(f"| {title} | {median(of(times, 'bank', name)) * 1e9:,.0f} |")
    wall, cpu = (median(of(times, "start", name)) for name in ("wall", "CPU"))
    started = f"| a process, from its start to its first bar, s | {wall:.2f}, CPU {cpu:.2f} |"
    return [*lines, started]


def _rounds(times: Sequence[Time]) -> int:
    return max(t.round for t in times)


def main() -> int:
    """Run all rounds; print the tables and write the JSON."""
    parser = argparse.ArgumentParser(description="Indicators against TA-Lib and talipp.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--bars", type=int, default=1_000_000, help="bars of a column (1,000,000)")
    parser.add_argument("--json", type=Path, help="result (artifacts/benchmarks/indicators-TIME)")
    options = parser.parse_args()
    before, bars = machine(), make_bars(options.bars)
    subprocess.run([sys.executable, "-c", _START], check=True, cwd=_HERE.parent)
    times: list[Time] = []
    for round_ in range(1, options.rounds + 1):
        times += columns_round(bars, round_)
        times += together_round(bars, round_)
        times += bars_round(bars, round_)
        times += bank_round(bars, round_)
        times += start_round(round_)
        print(f"round {round_} done, load {os.getloadavg()[0]:.1f}", flush=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = options.json or _HERE.parent / "artifacts" / "benchmarks" / f"indicators-{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {"machine": before, "bars": options.bars, "times": [asdict(t) for t in times]}, indent=1
        )
    )
    print(f"\n{markdown(times, options.bars)}\n\nwritten to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
