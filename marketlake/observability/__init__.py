"""Metrics, structured logs and the query listener."""
