"""The indicators that the settings name: their bank, and the table that holds them."""

from __future__ import annotations

import inspect
from functools import lru_cache

from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.indicators.registry import kernels_of
from marketlake.contracts.tables import Table, indicators_table
from marketlake.settings.model import IndicatorSettings, SettingsError


def bank_of(settings: IndicatorSettings) -> IndicatorBank:
    """Give the indicators side by side.

    Raises
    ------
    SettingsError
        If a name is unknown, or comes twice.
    """
    try:
        return _bank(settings.names)
    except ValueError as error:
        raise SettingsError(f"settings refused: indicators.names: {error}") from error


@lru_cache(maxsize=16)
def _bank(names: tuple[str, ...] | None) -> IndicatorBank:
    return IndicatorBank(kernels_of(names))


def table_of(settings: IndicatorSettings) -> Table:
    """Give ``gold/indicators`` with a column for each output."""
    bank_of(settings)
    return _table(settings.names)


@lru_cache(maxsize=16)
def _table(names: tuple[str, ...] | None) -> Table:
    return indicators_table(
        {
            column: (inspect.getdoc(type(kernel)) or kernel.name).split("\n", 1)[0]
            for kernel in _bank(names).kernels
            for column in kernel.outputs
        }
    )
