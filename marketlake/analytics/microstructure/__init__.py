"""What quotes and trades say of a market's depth and of who is in a hurry, as keyed kernels."""
