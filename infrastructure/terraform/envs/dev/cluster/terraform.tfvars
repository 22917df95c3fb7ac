environment        = "dev"
monthly_budget_usd = 300

# Nobody watches over it: it ends when nothing runs. A running stream is work, and never idle, so that
# a stream left on is seen by the budget and the alarm on cost alone.
auto_termination_idle_s = 3600
stream_expected         = false

nodes = { task_max = 2 }
