"""Amazon Kinesis: how it is reached, what its failures mean, and records that hold several."""
