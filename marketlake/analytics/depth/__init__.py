"""What may be traded now: the last known book of each instrument, and walks through several."""
