mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  prefix             = "marketlake-dev"
  region             = "eu-west-1"
  environment        = "dev"
  cluster_id         = "j-1"
  stream_names       = { trade = "marketlake-dev-market.trades", bar = "marketlake-dev-market.bars" }
  monthly_budget_usd = 300
}

run "what_the_requirements_name" {
  module {
    source = "./modules/monitoring"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["cpu"].threshold == 80 && aws_cloudwatch_metric_alarm.this["cpu"].evaluation_periods == 2
    error_message = "CPU over 80 % twice."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["memory"].threshold == 85 && aws_cloudwatch_metric_alarm.this["memory"].evaluation_periods == 2
    error_message = "Memory over 85 % twice."
  }
  assert {
    condition     = length(setsubtract(["failed-steps", "freshness", "unaccounted", "lag-trade", "lag-bar"], keys(aws_cloudwatch_metric_alarm.this))) == 0
    error_message = "Failed steps, lag of each stream, freshness, and silent rows."
  }
  assert {
    condition     = alltrue([for alarm in values(aws_cloudwatch_metric_alarm.this) : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "Every alarm is told."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["lag-trade"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.this["freshness"].treat_missing_data == "breaching"
    error_message = "Where the stream is expected, its silence is an alarm."
  }
  assert {
    condition     = alltrue([for group in values(aws_cloudwatch_log_group.this) : group.retention_in_days == 365])
    error_message = "No log is kept for ever."
  }
  assert {
    condition     = length(aws_sns_topic_subscription.email) == 0
    error_message = "No address, no mail."
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 10
    error_message = "Each widget once."
  }
}

run "charges_where_aws_tells_them_and_no_stream_that_nobody_asked_for" {
  command = plan
  module {
    source = "./modules/monitoring"
  }
  variables {
    region          = "us-east-1"
    stream_expected = false
    alarm_email     = "someone@example.com"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["charges"].threshold == 300
    error_message = "The budget is the threshold."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["freshness"].treat_missing_data == "notBreaching"
    error_message = "No stream, no alarm."
  }
  assert {
    condition     = aws_sns_topic_subscription.email[0].endpoint == "someone@example.com"
    error_message = "Mail to the address."
  }
}
