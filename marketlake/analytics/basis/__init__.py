"""Spot against perpetual at one venue: basis and carry, which is a position and no arbitrage."""
