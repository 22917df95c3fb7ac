"""What is left out where states are compared, and that nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marketlake.analytics.admission import NO_TIME_US
from marketlake.analytics.arrays import pack_arrays
from streaming import state_compare
from streaming.stages.lane_fold import CLOCKS
from streaming.stages.lane_state import whole_row

BEGUN = (0, 1_700_000_000_000_000, NO_TIME_US, 0)
EMPTY = (1, NO_TIME_US, NO_TIME_US, 0)


def differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *others: tuple[int, ...]) -> bool:
    """Tell whether a lane with one clock more is told from the lane without it."""
    states = {
        str(tmp_path / name): state_compare._comparable(
            whole_row("lane", pack_arrays({CLOCKS: np.array(clocks, np.int64)}))
        )
        for name, clocks in (("left", [BEGUN]), ("right", [BEGUN, *others]))
    }
    monkeypatch.setattr(state_compare, "_state", states.__getitem__)
    return bool(state_compare.state_differences(*states))


def test_a_clock_that_never_had_a_message_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert not differs(monkeypatch, tmp_path)
    assert not differs(monkeypatch, tmp_path, EMPTY)


@pytest.mark.parametrize(
    "clock",
    [(1, 5, NO_TIME_US, 0), (1, NO_TIME_US, 5, 0), (1, NO_TIME_US, NO_TIME_US, 1)],
    ids=["it has a time", "it was told a watermark", "others wait for it"],
)
def test_any_other_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: tuple[int, ...]):
    assert differs(monkeypatch, tmp_path, clock)
