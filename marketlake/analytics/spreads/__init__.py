"""Cross-venue spreads: the same asset on two venues, quote currencies converted, fees paid."""
