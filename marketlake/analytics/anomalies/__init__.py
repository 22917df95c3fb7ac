"""Detection of unusual values: a score for each bar, then one event for each run of them."""
