"""On which terms something pays: limits of age, clocks and size, and costs beside the fees."""

from __future__ import annotations

from typing import NamedTuple

from marketlake.analytics.arrays import Float64Array


class Terms(NamedTuple):
    """Limits and costs of opportunities; arrays over ``n`` instruments.

    Attributes
    ----------
    max_age_us : int
        A price older than this is not executable.
    max_skew_us : int
        How far transits (reception less event time) of the legs may differ.
    min_net_bps : float
        What has to be left, exclusive.
    slippage_bps : float
        Allowance a leg: prices move while an order is on its way.
    transfer_bps : float
        Cost of bringing the venues' holdings back into balance; of a trade across venues only.
    min_notional : float64[n]
        Smallest notional, in units of each instrument's quote currency.
    base_withdrawal, quote_withdrawal : float64[n]
        What the instrument's venue takes for sending its base (in base units) or its quote
        currency (in units of that) away, once an opportunity.
    """

    max_age_us: int
    max_skew_us: int
    min_net_bps: float
    slippage_bps: float
    transfer_bps: float
    min_notional: Float64Array
    base_withdrawal: Float64Array
    quote_withdrawal: Float64Array
