"""Where a stream reads from."""
