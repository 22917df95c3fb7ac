"""Calculations as folds: numpy and numba over arrays; no Spark, no I/O."""
