"""What the detectors find, and what they cry wolf at: labelled incidents of simulated markets.

    python benchmarks/anomalies.py [--seeds 20] [--hours 2] [--json FILE]

Each seed is a market of five venues and eight instruments with the simulator's incidents, and a
quiet one besides. Trades and quotes go through step one as the stream runs it (with late and
repeated messages), bars of a minute through the cross-venue fold. Baselines see the same bars of a
minute: a plain rolling z-score of the returns in pandas and, where river is installed, its
``GaussianScorer``. What begins in the first 35 minutes, the warm-up, counts for nobody.

**Precision** is the part of the events that lie on an incident: in its time, on a listing that it
touches. **Recall** is the part of the incidents with an event on a listing that they touch.
**Named** is the part that the detector calls by its kind: a bad print, a move of the market, a
stale feed. **False a day** are events a day and listing of the quiet markets.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from anomalies_market import MINUTE_US, WARM_UP_US, Found, Watched, is_of, market, watch

from marketlake.feeds.simulator import Incident
from marketlake.settings.model import load_settings

KINDS = (
    "bad_print", "flash_crash", "depeg", "stale_venue", "arbitrage_real", "arbitrage_false",
)  # fmt: skip
MEANT = ("bad_print", "flash_crash", "stale_venue")
"""Kinds that the default set must find."""
NAMES = {
    "bad_print": "bad_print",
    "flash_crash": "market_move",
    "depeg": "market_move",
    "stale_venue": "stale_feed",
}
WINDOW, ENOUGH, ENTER = 60, 30, 5.0
"""Of the baselines: as the rolling z-score's defaults."""


@dataclass
class Tally:
    """Counts of one detector over all seeds."""

    events: int = 0
    true: int = 0
    false_quiet: int = 0
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    named: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


@dataclass
class Result:
    """All tallies, the incidents there were, and the days of quiet listings."""

    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    incidents: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    quiet_days: float = 0.0

    def rows(self) -> list[dict[str, object]]:
        """Give one row a detector."""
        return [
            {
                "detector": name,
                "events": tally.events,
                "precision": _part(tally.true, tally.events),
                **{kind: _part(tally.found[kind], self.incidents[kind]) for kind in KINDS},
                "named": {kind: _part(tally.named[kind], self.incidents[kind]) for kind in NAMES},
                "false_a_day": tally.false_quiet / self.quiet_days if self.quiet_days else math.nan,
            }
            for name, tally in sorted(self.tallies.items())
        ]


def _part(count: int, of: int) -> float:
    return count / of if of else math.nan


def pandas_zscore(returns: np.ndarray) -> np.ndarray:
    """Score each return against the ones before it."""
    before = pd.Series(returns).shift()
    window = before.rolling(WINDOW, min_periods=ENOUGH)
    scores: np.ndarray = ((returns - window.mean()) / window.std()).to_numpy()
    return scores


def river_gaussian(returns: np.ndarray) -> np.ndarray:
    """Score each return by river's Gaussian over the same window, in deviations."""
    from river import anomaly

    scorer = anomaly.GaussianScorer(window_size=WINDOW, grace_period=ENOUGH)
    limit = math.erf(ENTER / math.sqrt(2.0))
    scores = np.full(returns.size, np.nan)
    for i, value in enumerate(returns):
        if math.isnan(value):
            continue
        # It gives the probability between x and its mirror image: 5 deviations at the limit.
        scores[i] = ENTER if scorer.score_one(None, value) >= limit else 0.0
        scorer.learn_one(None, value)
    return scores


def baseline(by: str, score: Callable[[np.ndarray], np.ndarray], watched: Watched) -> list[Found]:
    """Find runs of returns of a minute that a plain score says are unusual."""
    found = []
    first = watched.simulation.config.start_time_us + WARM_UP_US
    for (venue, instrument), bars in watched.bars.groupby(["venue", "instrument"]):
        bars = bars.sort_values("open_time_us")  # noqa: PLW2901 - the same bars
        close, time_us = bars["close"].to_numpy(), bars["open_time_us"].to_numpy()
        returns = np.concatenate(([np.nan], np.diff(np.log(close))))
        beyond = np.abs(score(returns)) >= ENTER
        begins = beyond & ~np.concatenate(([False], beyond[:-1]))
        found += [
            Found(by, "", venue, instrument, int(t), int(t) + MINUTE_US)
            for t in time_us[begins]
            if t >= first
        ]
    return found


def groups_of(watched: Watched, baselines: Iterable[str]) -> dict[str, list[Found]]:
    """Sort what was found by detector, and add all of them together."""
    by: dict[str, list[Found]] = defaultdict(list)
    for event in watched.found:
        by[event.by.split(" ")[0]].append(event)
        by["default set"].append(event)
        if event.by.split(" ")[0] in {"cross_venue", "silence"}:
            by["across venues"].append(event)
    scores = {"pandas z-score": pandas_zscore, "river": river_gaussian}
    for name in baselines:
        by[name] = baseline(name, scores[name], watched)
    return by


def tally_seed(result: Result, watched: Watched, baselines: Iterable[str]) -> None:
    """Count what was found in a market with incidents."""
    for incident in watched.incidents:
        result.incidents[incident.kind] += 1
    for name, events in groups_of(watched, baselines).items():
        tally = result.tallies[name]
        tally.events += len(events)
        # An incident of the warm-up is no excuse for later events, but its end may lie after it.
        every = watched.simulation.incidents
        tally.true += sum(any(is_of(event, one) for one in every) for event in events)
        for incident in watched.incidents:
            own = [event for event in events if _counts_for(event, incident)]
            tally.found[incident.kind] += bool(own)
            name_of_kind = NAMES.get(incident.kind)
            tally.named[incident.kind] += any(event.kind == name_of_kind for event in own)


def _counts_for(event: Found, incident: Incident) -> bool:
    """Tell whether an event finds an incident: on a listing that the incident is about."""
    return is_of(event, incident) and incident.concerns(event.venue, event.instrument)


def measure(seeds: int, hours: float, baselines: Iterable[str]) -> Result:
    """Run all markets."""
    settings = load_settings()
    result = Result()
    for seed in range(1, seeds + 1):
        tally_seed(result, watch(market(seed, hours), settings), baselines)
        quiet = watch(market(seed, hours, quiet=True), settings)
        watched_days = hours / 24 - WARM_UP_US / 86_400e6
        result.quiet_days += watched_days * len(quiet.simulation.config.listings())
        for name, events in groups_of(quiet, baselines).items():
            result.tallies[name].false_quiet += len(events)
        print(f"seed {seed} of {seeds}", flush=True)
    return result


def table(result: Result) -> str:
    """Write the result as Markdown."""
    lines = [
        "| detector | events | precision | " + " | ".join(KINDS) + " | false a day |",
        "|---|---|---|" + "---|" * len(KINDS) + "---|",
    ]
    for row in result.rows():
        recalls = " | ".join(_cell(row, kind) for kind in KINDS)
        lines.append(
            f"| {row['detector']} | {row['events']} | {row['precision']:.2f} | {recalls} | "
            f"{row['false_a_day']:.2f} |"
        )
    counts = ", ".join(f"{count} {kind}" for kind, count in result.incidents.items())
    return "\n".join([*lines, "", f"Incidents: {counts}."])


def _cell(row: dict[str, object], kind: str) -> str:
    named = row["named"]
    assert isinstance(named, dict)
    cell = f"{row[kind]:.2f}"
    return f"{cell} ({named[kind]:.2f})" if named.get(kind, 0.0) > 0.0 else cell


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="precision and recall of the detectors")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    baselines = ["pandas z-score"]
    try:
        import river  # noqa: F401

        baselines.append("river")
    except ImportError:
        print("river is not installed: without it")
    result = measure(arguments.seeds, arguments.hours, baselines)
    print(table(result))
    if arguments.json:
        rows = {"incidents": result.incidents, "detectors": result.rows()}
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
