"""Where events come from: recorded data, venues' frames, a simulator; and how they are published."""
