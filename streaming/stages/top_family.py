"""Step one of quotes and books: what their best prices say, and tops for step two."""

from __future__ import annotations

from typing import Final

import numpy as np

from marketlake.analytics.arrays import Columns, row_count
from marketlake.analytics.keyed import KeyedStates
from marketlake.analytics.quoted_spread import QuotedSpread, SpreadSamples
from marketlake.contracts.events import INTERVAL_US
from marketlake.settings.model import Settings
from streaming.stages.catalog import InstrumentCatalog
from streaming.stages.detectors import Anomaly, MetricDetectors, Origin, SilenceDetector
from streaming.stages.fold_output import FoldOutput
from streaming.stages.microstructure import FEED_OF_QUOTES, Microstructure
from streaming.stages.series_rows import instrument_rows


class TopFamily:
    """Quotes: the quoted spread a minute, its anomalies, feeds gone silent; tops for step two."""

    origin: Origin = "quotes"
    interval: Final = "1m"

    def __init__(self, catalog: InstrumentCatalog, settings: Settings) -> None:
        self._spread = QuotedSpread(INTERVAL_US[self.interval])
        self._detectors = MetricDetectors(("quoted_spread_bps",), self.origin, settings.anomalies)
        self._silence = SilenceDetector(self.origin, settings.anomalies)
        self._micro = Microstructure(FEED_OF_QUOTES, catalog, settings.microstructure.interval)
        self._states = KeyedStates(
            {
                "sample": self._spread.initial(),
                **self._detectors.blocks(),
                **self._silence.blocks(),
            }
        )
        self._rows = instrument_rows(self._states, catalog, self.interval)

    def step(self, rows: Columns, watermark_us: int) -> FoldOutput:
        """Take tops: ``time_us``, ``instrument``, ``bid_price``, ``ask_price`` and sizes."""
        samples, silent = [], []
        if row_count(rows):
            feeds = self._rows.rows(rows["instrument"])
            middle = (rows["bid_price"] + rows["ask_price"]) / 2.0
            silent = self._silence.step(self._states, feeds, rows["time_us"], middle)
            two_sided = np.isfinite(rows["bid_price"]) & np.isfinite(rows["ask_price"])
            quoted = {name: column[two_sided] for name, column in rows.items()}
            series = feeds[two_sided]
            samples.append(
                self._spread.step(
                    self._states.matrix("sample"),
                    series,
                    quoted["time_us"],
                    quoted["bid_price"],
                    quoted["ask_price"],
                )
            )
        samples.append(self._spread.advance(self._states.matrix("sample"), watermark_us))
        return FoldOutput(
            anomalies=[*self._detect(samples), *silent],
            tops=rows,
            microstructure=self._micro.step(rows, watermark_us),
        )

    def _detect(self, parts: list[SpreadSamples]) -> list[Anomaly]:
        series = np.concatenate([part.series for part in parts])
        if not series.size:
            return []
        return self._detectors.step(
            self._states,
            series,
            np.concatenate([part.open_time_us for part in parts]),
            np.concatenate([part.spread_bps for part in parts])[np.newaxis, :],
        )

    def flush(self) -> list[Anomaly]:
        """End open runs."""
        return self._detectors.flush(self._states)

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return {"quoted_spread": self._states, **self._micro.states()}


class BookFamily(TopFamily):
    """Books: as quotes, by their best levels."""

    origin: Origin = "books"
