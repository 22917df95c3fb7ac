"""What a laptop or a test needs in place of a cluster: jars and an embedded Kafka broker."""
