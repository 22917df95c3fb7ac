"""All kernels over quotes and trades, with the parameters that suit a liquid pair.

Those over quotes or over trades run in the stream, a feed alone; what takes a trade and the quote
before it needs both feeds, which only a day of silver has side by side.
"""

from __future__ import annotations

from typing import Final

from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.microstructure.quotes import TopOfBook
from marketlake.analytics.microstructure.toxicity import Vpin
from marketlake.analytics.microstructure.trades import EffectiveSpread, KyleLambda, TradeRun

KINDS: Final[tuple[type[RowKernel], ...]] = (
    TopOfBook,
    TradeRun,
    KyleLambda,
    Vpin,
    EffectiveSpread,
)

QUOTES: Final[tuple[RowKernel, ...]] = (TopOfBook(1),)
"""They take quotes: ``bid_price``, ``bid_quantity``, ``ask_price``, ``ask_quantity``."""

TRADES: Final[tuple[RowKernel, ...]] = (TradeRun(), KyleLambda(100), Vpin(20, 50))
"""They take trades: ``price``, ``quantity``, ``side``."""

TRADES_AND_QUOTES: Final[tuple[RowKernel, ...]] = (EffectiveSpread(100),)
"""They take trades with ``mid``, that of the quote before."""
