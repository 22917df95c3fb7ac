environment        = "prod"
monthly_budget_usd = 2500

stream_expected        = true
termination_protection = true

nodes = { core_type = "m5.xlarge", task_type = "m5.xlarge", task_max = 8 }
