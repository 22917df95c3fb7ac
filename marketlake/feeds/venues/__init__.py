"""Normalisers: raw WebSocket frames of each venue into wire events."""
