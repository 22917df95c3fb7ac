"""Which instruments a lane has, and from which of its partitions their rows come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketlake.analytics.admission import NO_TIME_US
from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.keyed import Key, KeyedStates
from streaming.stages.catalog import UNKNOWN, InstrumentCatalog
from streaming.stages.series_rows import SeriesRows

KIND: Final = "presence"
_FLOOR, _HOME, _HOME_US, _AWAY_US = range(4)
_NOWHERE: Final = -1.0


@dataclass(frozen=True)
class _Floors:
    """Floor by instrument code, made for so many instruments."""

    of_code_us: Float64Array
    instruments: int


class Presence:
    """The instruments of a lane, once a row of theirs was in time.

    All venues of an instrument go together, for they are compared. Of each instrument is kept the
    time before which its rows are too late, whatever partition they come from; and, while the lane
    has several partitions, the one of its latest row (home), the time of that, and the time of its
    latest row from any other one. All of it is a maximum over rows, so that it does not matter
    which partition was read first.
    """

    def __init__(self, catalog: InstrumentCatalog) -> None:
        self._catalog = catalog
        self._states = KeyedStates({KIND: _initial()})
        self._rows = SeriesRows(self._states, self._key_of, lambda _key: UNKNOWN)
        self._told = 0
        self._floors = _Floors(np.empty(0), 0)

    def _key_of(self, code: int) -> Key:
        return "", self._catalog.instruments[code].instrument

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return {KIND: self._states}

    def fresh(self) -> list[str]:
        """Name the instruments that came since this was last asked."""
        told, self._told = self._told, len(self._states)
        return [instrument for _, instrument in self._states.keys[told:]]

    def restored(self) -> None:
        """Take the instruments there are for known: the state was read."""
        self._told = len(self._states)
        self._floors = _Floors(np.empty(0), 0)

    def note(self, codes: Int64Array, time_us: Int64Array, partition: int | None) -> None:
        """Take rows that were not too late, by instrument code.

        Parameters
        ----------
        partition : int or None
            Where they came from; None in a lane that has but one.
        """
        present = np.flatnonzero(np.bincount(codes))
        series = self._rows.rows(present)
        if partition is None or not series.size:
            return
        newest_us = np.full(len(self._catalog), NO_TIME_US, np.int64)
        np.maximum.at(newest_us, codes, time_us)
        of_series_us = np.full(len(self._states), NO_TIME_US, np.int64)
        np.maximum.at(of_series_us, series, newest_us[present])
        seen = np.unique(series)
        self._see(seen, partition, of_series_us[seen].astype(np.float64))

    def _see(self, series: Int64Array, partition: int, time_us: Float64Array) -> None:
        words = self._states.matrix(KIND)[series]
        home, home_us, away_us = words[:, _HOME], words[:, _HOME_US], words[:, _AWAY_US]
        same = home == partition
        moves = ~same & ((time_us > home_us) | ((time_us == home_us) & (partition > home)))
        words[:, _AWAY_US] = np.where(
            same, away_us, np.maximum(away_us, np.where(moves, home_us, time_us))
        )
        words[:, _HOME_US] = np.where(same | moves, np.maximum(home_us, time_us), home_us)
        words[:, _HOME] = np.where(moves, float(partition), home)
        self._states.matrix(KIND)[series] = words

    def too_late(self, codes: Int64Array, time_us: Int64Array) -> npt.NDArray[np.bool_]:
        """Tell which rows lie before what their instrument's lane had passed when it changed."""
        floors_us = self._states.matrix(KIND)[:, _FLOOR]
        if not (floors_us > NO_TIME_US).any():
            return np.zeros(codes.size, np.bool_)
        if self._floors.instruments != len(self._catalog):
            of_name = {key[1]: us for key, us in zip(self._states.keys, floors_us, strict=True)}
            names = (i.instrument for i in self._catalog.instruments)
            # Rows of unknown instruments have the code -1, and are refused for that.
            of_code = [*(of_name.get(name, float(NO_TIME_US)) for name in names), NO_TIME_US]
            self._floors = _Floors(np.array(of_code, np.float64), len(self._catalog))
        late: npt.NDArray[np.bool_] = time_us < self._floors.of_code_us[codes]
        return late

    def settle(self, watermark_us: int, partition: int | None) -> None:
        """Keep how far the lane came, which is about to join others or to part.

        Parameters
        ----------
        partition : int or None
            The only one so far; None where the lane has several.
        """
        self._floors = _Floors(np.empty(0), 0)
        words = self._states.matrix(KIND)
        words[:, _FLOOR] = np.maximum(words[:, _FLOOR], watermark_us)
        if partition is not None:
            words[:, _HOME], words[:, _HOME_US] = partition, watermark_us
            words[:, _AWAY_US] = NO_TIME_US

    def homes(self) -> dict[str, int]:
        """Give the partition of the latest row of each instrument."""
        homes = self._states.matrix(KIND)[:, _HOME].astype(np.int64).tolist()
        return {key[1]: home for key, home in zip(self._states.keys, homes, strict=True)}

    @property
    def unsettled_us(self) -> int:
        """Time of the latest row that came from another partition than its instrument's home."""
        return int(self._states.matrix(KIND)[:, _AWAY_US].max(initial=NO_TIME_US))


def _initial() -> Float64Array:
    return np.array([NO_TIME_US, _NOWHERE, NO_TIME_US, NO_TIME_US], np.float64)
