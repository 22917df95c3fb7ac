"""Where events come from (recordings, venues' frames, a simulator), and how they are sent."""
