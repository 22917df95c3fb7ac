"""States that an older release wrote, made into what this one reads, a version at a time.

An upgrade takes the whole state of one lane or bucket in the layout of its version, as rows of
``STATE_SCHEMA`` of which none is a change, and gives it in that of the next. Whoever changes a
layout raises ``STATE_VERSION`` and adds the upgrade here; where there is no way, a state of that
version is refused. After an upgrade a lane writes its whole state again, for changes count from
words of one layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pyarrow as pa

Upgrade = Callable[[pa.Table], pa.Table]

UPGRADES: Final[Mapping[int, Upgrade]] = {}
"""What makes a state of a version into one of the next, by the version it takes."""


def upgraded(
    state: pa.Table, version: int, wanted: int, upgrades: Mapping[int, Upgrade]
) -> pa.Table:
    """Bring a state from one version to another.

    Raises
    ------
    LookupError
        If there is no way.
    """
    if version > wanted:
        raise LookupError(f"version {version} is newer than {wanted}")
    for step in range(version, wanted):
        state = upgrades[step](state)
    return state
