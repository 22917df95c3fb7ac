environment     = "dev"
protected       = false
retention_hours = 24
log_days        = 30

# One shard each is enough to try things, and has a price that is known.
shards = { trade = 1, quote = 1, book = 1, bar = 1 }
