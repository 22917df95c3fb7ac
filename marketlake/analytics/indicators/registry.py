"""The indicators that the pipeline computes, in the order of their columns.

The columns of ``gold/indicators``, the reference page and the property tests are all made from
this list: a new indicator is one class and one line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Final

from marketlake.analytics.indicators.momentum import Macd, Rsi
from marketlake.analytics.indicators.overlap import Bollinger, Ema, Sma
from marketlake.analytics.indicators.volatility import Atr
from marketlake.analytics.indicators.volume import RollingVwap, SessionVwap
from marketlake.analytics.kernel import Kernel

DEFAULT: Final[tuple[Kernel, ...]] = (
    Sma(20),
    Sma(50),
    Ema(12),
    Ema(26),
    Rsi(14),
    Macd(12, 26, 9),
    Bollinger(20, 2),
    Atr(14),
    RollingVwap(20),
    SessionVwap(),
)
"""Append only: the states on disk hold the kernels' words in this order."""


def indicator(name: str, kernels: Iterable[Kernel] = DEFAULT) -> Kernel:
    """Find an indicator by its name.

    Raises
    ------
    KeyError
        If there is none; the message lists those there are.
    """
    known = {kernel.name: kernel for kernel in kernels}
    if name not in known:
        msg = f"no indicator {name!r}; there are {', '.join(known)}"
        raise KeyError(msg)
    return known[name]


def columns(kernels: Iterable[Kernel] = DEFAULT) -> tuple[str, ...]:
    """Name all output columns, in the order in which a bank of these kernels gives them."""
    return tuple(column for kernel in kernels for column in kernel.outputs)


def reference_page(kernels: Iterable[Kernel] = DEFAULT) -> str:
    """Write the reference of the indicators as Markdown, from the kernels and their docstrings."""
    sections = ["# Indicators"]
    for kernel in kernels:
        text = inspect.getdoc(type(kernel)) or ""
        body = text.split("\n\nParameters\n", maxsplit=1)[0]
        listed = ", ".join(f"`{column}`" for column in kernel.outputs)
        taken = ", ".join(f"`{column}`" for column in kernel.inputs)
        sections.append(
            f"## {kernel.name}\n\nColumns: {listed}  \nFrom: {taken}  \n"
            f"Bars before the first value: {kernel.warm_up}\n\n{body}"
        )
    return "\n\n".join(sections) + "\n"
