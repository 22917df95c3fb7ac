"""The indicator of one's own that the docs show, in a file outside the package, through a job."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage

pytestmark = [pytest.mark.spark, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "analytics.md"


def shown(kind: str, holding: str) -> str:
    """Give the block of the page that holds a text."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if holding in block]
    return str(block)


def test_the_docs_indicator_has_its_column(tmp_path: Path):
    (tmp_path / "my_indicators.py").write_text(shown("python", "CLOSE_LOCATION"))
    (tmp_path / "settings.toml").write_text(shown("toml", "CLOSE_LOCATION"))
    rng = np.random.default_rng(3)
    close = 100 * np.exp(rng.normal(0, 1e-3, 200).cumsum())
    high, low = close * (1 + rng.uniform(0, 1e-3, 200)), close * (1 - rng.uniform(0, 1e-3, 200))
    bars = pd.DataFrame(
        {
            "venue": "kraken",
            "instrument": "BTC-USD",
            "interval": "1m",
            "open_time": pd.date_range("2024-08-08", periods=200, freq="min", tz="UTC"),
            "open": np.r_[close[0], close[:-1]].clip(low, high),
            "high": high,
            "low": low,
            "close": close,
            "volume": 1.0,
        }
    )
    bars.to_parquet(tmp_path / "bars.parquet")
    command = ["batch", "process", "--lake", "lake", "--date", "2024-08-08"]
    options = ["--input", "bars.parquet", "--config", "settings.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "spark_jobs.cli", *command, *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with open_lake(Storage(str(tmp_path / "lake"))) as lake:
        found = lake.execute(
            "SELECT close_location_10, rsi_14 FROM gold.indicators ORDER BY open_time"
        ).df()
    expected = (
        ((bars["close"] - bars["low"]) / (bars["high"] - bars["low"]))
        .ewm(span=10, adjust=False, min_periods=10)
        .mean()
    )
    np.testing.assert_allclose(found["close_location_10"].astype(float), expected, rtol=1e-12)
    assert found["rsi_14"].notna().sum() == 200 - 14
