environment     = "prod"
protected       = true
retention_hours = 168
log_days        = 365
