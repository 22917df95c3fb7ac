"""Technical indicators as keyed kernels; ``registry`` lists them, ``bank`` runs them together."""
