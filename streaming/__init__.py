"""Unbounded queries: sources, stages, topology and runner."""
