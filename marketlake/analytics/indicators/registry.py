"""All kinds of indicators, those the pipeline computes by default, and how settings name them.

The columns of ``gold/indicators``, the reference page and the property tests are all made from
these lists: a new indicator is one class, one line in ``KINDS`` and, if it is to be computed
unasked, one in ``DEFAULT``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import fields
from importlib import import_module
from typing import Final

from marketlake.analytics.indicators.adaptive import Hma, Kama
from marketlake.analytics.indicators.averages import Ema, Sma, Wma
from marketlake.analytics.indicators.bands import Bollinger, Donchian, Keltner
from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.indicators.chaikin import (
    AccumulationDistribution,
    ChaikinMoneyFlow,
    ChaikinOscillator,
)
from marketlake.analytics.indicators.chains import Dema, Tema, Trix
from marketlake.analytics.indicators.convergence import Macd, Ppo
from marketlake.analytics.indicators.directional import Adx, Aroon
from marketlake.analytics.indicators.estimators import (
    GarmanKlass,
    Parkinson,
    RealisedVolatility,
    YangZhang,
)
from marketlake.analytics.indicators.flow import ForceIndex, Obv
from marketlake.analytics.indicators.ichimoku import Ichimoku
from marketlake.analytics.indicators.momentum import Cci, Roc, UltimateOscillator
from marketlake.analytics.indicators.stochastics import Stochastic, StochRsi, WilliamsR
from marketlake.analytics.indicators.strength import Cmo, Mfi, Rsi, Tsi
from marketlake.analytics.indicators.trend import Psar, SuperTrend
from marketlake.analytics.indicators.volatility import Atr, Natr, Ulcer
from marketlake.analytics.indicators.vwap import RollingVwap, SessionVwap

KINDS: Final[tuple[type[RowKernel], ...]] = (
    # Averages, bands and lines on the chart.
    Sma, Ema, Wma, Dema, Tema, Kama, Hma, Bollinger, Keltner, Donchian, SuperTrend, Ichimoku, Psar,
    RollingVwap, SessionVwap,
    # Momentum.
    Rsi, Stochastic, StochRsi, Macd, Ppo, Adx, Aroon, Cci, Cmo, Mfi, Roc, Trix, UltimateOscillator,
    WilliamsR, Tsi,
    # Volume.
    Obv, AccumulationDistribution, ChaikinOscillator, ChaikinMoneyFlow, ForceIndex,
    # Volatility.
    Atr, Natr, RealisedVolatility, Parkinson, GarmanKlass, YangZhang, Ulcer,
)  # fmt: skip

DEFAULT: Final[tuple[RowKernel, ...]] = (
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
    Wma(20),
    Dema(20),
    Tema(20),
    Kama(10),
    Hma(16),
    Keltner(20, 10, 2),
    Donchian(20),
    SuperTrend(10, 3),
    Ichimoku(9, 26, 52),
    Psar(0.02, 0.2),
    Stochastic(14, 3, 3),
    StochRsi(14, 14, 3),
    Ppo(12, 26, 9),
    Adx(14),
    Aroon(14),
    Cci(20),
    Cmo(14),
    Mfi(14),
    Roc(10),
    Trix(15),
    UltimateOscillator(7, 14, 28),
    WilliamsR(14),
    Tsi(25, 13),
    Obv(),
    AccumulationDistribution(),
    ChaikinOscillator(3, 10),
    ChaikinMoneyFlow(20),
    ForceIndex(13),
    Natr(14),
    RealisedVolatility(20),
    Parkinson(20),
    GarmanKlass(20),
    YangZhang(20),
    Ulcer(14),
)
"""Append only: the states on disk hold the kernels' words in this order."""


def indicator(name: str, kernels: Iterable[RowKernel] = DEFAULT) -> RowKernel:
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


def pattern(kind: type[RowKernel]) -> str:
    """Show how an indicator of a kind is named: ``macd_FAST_SLOW_SIGNAL``."""
    return "_".join([kind.base, *(field.name.upper() for field in fields(kind))])


def parse(name: str) -> RowKernel:
    """Make the indicator that a name stands for: ``macd_12_26_9``, ``bollinger_20_1p5``.

    One of a user's own is named ``module:attribute``, an instance of a subclass of
    :class:`RowKernel` in a module that can be imported.

    Raises
    ------
    ValueError
        In one line, if there is no such kind, naming those there are, or if the parameters do
        not fit it.
    """
    if ":" in name:
        return _imported(name)
    fitting = [kind for kind in KINDS if name == kind.base or name.startswith(f"{kind.base}_")]
    if not fitting:
        known = ", ".join(pattern(kind) for kind in KINDS)
        msg = f"no indicator {name!r}; known are {known}"
        raise ValueError(msg)
    kind = max(fitting, key=lambda kind: len(kind.base))
    texts = name[len(kind.base) + 1 :].split("_") if name != kind.base else []
    wanted = fields(kind)
    try:
        values = [
            int(text) if field.type == "int" else float(text.replace("p", "."))
            for field, text in zip(wanted, texts, strict=True)
        ]
    except ValueError:
        msg = f"indicator {name!r} is not of the form {pattern(kind)}, with numbers for capitals"
        raise ValueError(msg) from None
    kernel = kind(*values)
    if kernel.name != name:
        msg = f"indicator {name!r} is written {kernel.name!r}"
        raise ValueError(msg)
    return kernel


def _imported(name: str) -> RowKernel:
    module, _, attribute = name.partition(":")
    try:
        kernel = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"no indicator {name!r}: {error}"
        raise ValueError(msg) from error
    if not isinstance(kernel, RowKernel):
        msg = f"indicator {name!r} is no instance of a RowKernel but {kernel!r}"
        raise ValueError(msg)  # noqa: TRY004 - the setting's value is wrong, as with the others
    return kernel


def kernels_of(names: Iterable[str] | None) -> tuple[RowKernel, ...]:
    """Make the indicators that a setting names, in its order; the default ones for None.

    Raises
    ------
    ValueError
        As :func:`parse`; or if a name comes twice.
    """
    if names is None:
        return DEFAULT
    kernels = tuple(parse(name) for name in names)
    twice = sorted({kernel.name for kernel in kernels if kernels.count(kernel) > 1})
    if twice:
        msg = f"indicators named more than once: {', '.join(twice)}"
        raise ValueError(msg)
    return kernels


def columns(kernels: Iterable[RowKernel] = DEFAULT) -> tuple[str, ...]:
    """Name all output columns, in the order in which a bank of these kernels gives them."""
    return tuple(column for kernel in kernels for column in kernel.outputs)


def reference_page(kernels: Iterable[RowKernel] = DEFAULT) -> str:
    """Write the reference of the indicators as Markdown, from the kernels and their docstrings."""
    sections = ["# Indicators"]
    for kernel in kernels:
        text = inspect.getdoc(type(kernel)) or ""
        body = text.split("\n\nParameters\n", maxsplit=1)[0]
        listed = ", ".join(f"`{column}`" for column in kernel.outputs)
        taken = ", ".join(f"`{column}`" for column in kernel.inputs)
        sections.append(
            f"## {kernel.name}\n\nColumns: {listed}  \nFrom: {taken}  \n"
            f"Bars before the first value: {kernel.warm_up}  \n"
            f"State: {kernel.width * 8} bytes a series\n\n{body}"
        )
    return "\n\n".join(sections) + "\n"
