"""All kernels over quotes and trades, with the parameters that suit a liquid pair."""

from __future__ import annotations

from typing import Final

from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.microstructure.quotes import TopOfBook
from marketlake.analytics.microstructure.toxicity import Vpin
from marketlake.analytics.microstructure.trades import EffectiveSpread, KyleLambda, TradeRun

QUOTES: Final[tuple[RowKernel, ...]] = (TopOfBook(100),)
"""They take quotes: ``bid_price``, ``bid_quantity``, ``ask_price``, ``ask_quantity``."""

TRADES: Final[tuple[RowKernel, ...]] = (
    TradeRun(),
    KyleLambda(100),
    EffectiveSpread(100),
    Vpin(10.0, 50),
)
"""They take trades: ``price``, ``quantity``, ``side`` and, for one, ``mid`` of the quote before."""
