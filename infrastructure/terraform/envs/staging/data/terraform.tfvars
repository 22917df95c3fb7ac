environment     = "staging"
protected       = true
retention_hours = 72
log_days        = 60
