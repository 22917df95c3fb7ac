"""Frames passed through a normaliser, as they would come at one moment."""

import json

RECEIVED = 1_700_000_000_000_000


def feed(normaliser, *frames):
    """Pass frames on, one list of events a frame."""
    return [normaliser.frame(json.dumps(frame), RECEIVED) for frame in frames]
