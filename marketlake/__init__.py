"""marketlake: market data from many venues, made into a lake that people can trust."""
