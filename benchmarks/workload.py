"""What every contender is given: which trades, on which topic, and where things stand on disk."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marketlake.contracts.events import topic_of

VENUES: Final = ("binance", "okx", "bybit", "kraken")
START_US: Final = 1_700_000_000_000_000
"""Time of the first trade."""
STEP_US: Final = 1_000
"""Time from one trade to the next, whatever its instrument, unless a workload says otherwise."""
PARTITIONS: Final = 4
OFFSETS_PER_BATCH: Final = 500_000
WARM_UP_ROWS: Final = 200_000
WARM_UP_OFFSETS_PER_BATCH: Final = 50_000
"""Several batches: every worker process meets every step before the clock runs."""

CONVERSIONS: Final = {
    "BTC-USDT": 60_000.0,
    "BTC-USDC": 60_000.0,
    "USDC-USD": 1.0,
    "USDC-USDT": 1.0,
}
"""Instruments whose spreads need one another although they lie in different partitions."""


@dataclass(frozen=True)
class Workload:
    """Seeded trades on one topic.

    Attributes
    ----------
    rows : int
        Trades.
    instruments : int
        Names; each trades at every venue of ``VENUES``.
    seed : int
        Of the random numbers; another seed is another topic.
    offsets_per_batch : int
        Messages a micro-batch takes over all partitions, where a contender has such.
    step_us : int
        Event time from one trade to the next, µs.
    """

    rows: int
    instruments: int = 50
    seed: int = 1
    offsets_per_batch: int = OFFSETS_PER_BATCH
    step_us: int = STEP_US

    @property
    def prefix(self) -> str:
        """Prefix of the topic, as the pipeline's source takes it."""
        pace = "" if self.step_us == STEP_US else f"t{self.step_us}"
        return f"bench{self.rows}x{self.instruments}s{self.seed}{pace}"

    @property
    def topic(self) -> str:
        """Topic that holds the trades."""
        return topic_of("trade", self.prefix)

    @property
    def names(self) -> list[str]:
        """Instruments: the conversions, then synthetic bases against USDT."""
        width = len(str(self.instruments - 1))
        synthetic = range(self.instruments - len(CONVERSIONS))
        return [*CONVERSIONS, *(f"S{i:0{width}d}-USDT" for i in synthetic)]


WARM_UP: Final = Workload(WARM_UP_ROWS, seed=2, offsets_per_batch=WARM_UP_OFFSETS_PER_BATCH)
"""Taken by each process before the measured workload: compilers and caches are warm then."""


def default_work_dir() -> Path:
    """Folder of the topics and lakes; kept from one run to the next."""
    return Path(tempfile.gettempdir()) / "marketlake-bench"


def add_workload_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a workload."""
    parser.add_argument("--rows", type=int, default=2_000_000, help="trades (2000000)")
    parser.add_argument("--instruments", type=int, default=50, help="instruments (50)")
    parser.add_argument("--seed", type=int, default=1, help="of the random trades (1)")
    parser.add_argument("--step-us", type=int, default=STEP_US, help="between trades (1000)")


def workload_of(options: argparse.Namespace) -> Workload:
    """Read the workload out of parsed options."""
    return Workload(options.rows, options.instruments, options.seed, step_us=options.step_us)
