"""Writes the table of agreement with TA-Lib into ``docs/analytics.md``.

``python benchmarks/agreement.py`` measures the largest relative difference of each function over
three walks of 100,000 bars: at a price of 100, at one of a ten-thousandth, and one of three times
the volatility.
``--check`` writes nothing and exits 1 if a function is above 1e-9 or missing from the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import numpy as np
from talib_functions import FUNCTIONS, Bars, difference, talib_columns

from marketlake.analytics.indicators.registry import DEFAULT
from marketlake.analytics.kernel import fold

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "analytics.md"
BEGIN: Final = "<!-- Made by benchmarks/agreement.py: change the code, then run it. -->"
END: Final = "<!-- end -->"
TOLERANCE: Final = 1e-9
ROWS: Final = 100_000
WALKS: Final = ((100.0, 1e-3), (1e-4, 1e-3), (20_000.0, 3e-3))
"""Price at the start, and deviation of a bar's log return."""


def walk(seed: int, start: float, scale: float) -> Bars:
    """Make bars of a geometric walk."""
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(rng.normal(scale=scale, size=ROWS)))
    open_ = np.concatenate([[start], close[:-1]])
    # Volumes such that every bar trades for more than 1: TA-Lib's MFI takes less for nothing.
    return {
        "high": np.maximum(open_, close) * (1 + rng.random(ROWS) * scale),
        "low": np.minimum(open_, close) * (1 - rng.random(ROWS) * scale),
        "close": close,
        "volume": (10.0 + 100.0 * rng.random(ROWS)) / close,
    }


def measured() -> dict[str, tuple[str, int, float]]:
    """Give for each indicator TA-Lib's names, the bars of warm-up, the largest difference."""
    found = {}
    series = [walk(seed, *parameters) for seed, parameters in enumerate(WALKS)]
    for kernel in (k for k in DEFAULT if type(k) in FUNCTIONS):
        largest = 0.0
        for bars in series:
            ours = fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))[1]
            apart = difference(kernel, bars, ours, talib_columns(kernel, bars))
            largest = max(largest, float(apart.max()))
        found[kernel.name] = (FUNCTIONS[type(kernel)].names, kernel.warm_up, largest)
    return found


def table(found: dict[str, tuple[str, int, float]]) -> str:
    """Write the table."""
    lines = ["| indicator | TA-Lib | warm-up, bars | largest relative difference |"]
    lines.append("|---|---|---|---|")
    for name, (names, warm_up, largest) in found.items():
        lines.append(f"| `{name}` | {names} | {warm_up} | {largest:.0e} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, then write or check the page."""
    parser = argparse.ArgumentParser(description="Agreement with TA-Lib, a function each.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a failure")
    check = parser.parse_args().check
    found, text = measured(), PAGE.read_text(encoding="utf-8")
    apart = [name for name, (_, _, largest) in found.items() if largest > TOLERANCE]
    if apart:
        sys.stderr.write(f"above {TOLERANCE:.0e}: {', '.join(apart)}\n")
        return 1
    before, rest = text.split(BEGIN, 1)
    if check:
        absent = [name for name in found if f"| `{name}` |" not in rest]
        if absent:
            sys.stderr.write(f"docs/analytics.md lacks {', '.join(absent)}\n")
        return 1 if absent else 0
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
