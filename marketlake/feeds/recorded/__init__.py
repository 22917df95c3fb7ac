"""Recorded data sets, read as wire events: one module a data set, and the catalogue of them."""
