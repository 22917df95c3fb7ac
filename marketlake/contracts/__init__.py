"""Columns, tables, wire events, instruments and venues: the only place where a schema stands."""
