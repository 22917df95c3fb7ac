"""The fault campaign: a stream is killed and its surroundings fail, and its lake must not show it.

A simulated market with late, duplicated and reordered messages and junk is published, and
``marketlake stream`` processes that read it get SIGKILL while they take batches; meanwhile the
broker is killed, or shards split and merge, and requests to AWS fail. The last process may finish;
another lake is filled undisturbed from the same topics, and the two are compared bit for bit.
"""
