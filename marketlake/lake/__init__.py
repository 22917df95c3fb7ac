"""Spark sessions, Delta tables, idempotent writers, maintenance."""
