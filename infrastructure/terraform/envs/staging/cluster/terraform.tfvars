environment        = "staging"
monthly_budget_usd = 900

stream_expected = true

nodes = { task_max = 4 }
