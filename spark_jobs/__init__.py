"""Bounded jobs and the one launcher."""
