mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  prefix             = "marketlake-dev"
  environment        = "dev"
  monthly_budget_usd = 300
  alarm_topic_arn    = "arn:aws:sns:eu-west-1:123456789012:marketlake-dev-alarms"
}

run "told_at_half_at_all_and_when_it_will_be_over" {
  command = plan
  module {
    source = "./modules/cost"
  }

  assert {
    condition = toset([for told in aws_budgets_budget.monthly.notification : "${told.notification_type} ${told.threshold}"]) == toset(
    ["ACTUAL 50", "ACTUAL 100", "FORECASTED 100"])
    error_message = "Half to be seen, all to be acted on, and the forecast."
  }
  assert {
    condition     = one(aws_budgets_budget.monthly.cost_filter).values == tolist(["user:environment$dev"])
    error_message = "What bears the environment's tag counts, and nothing else."
  }
  assert {
    condition     = alltrue([for told in aws_budgets_budget.monthly.notification : length(coalesce(told.subscriber_email_addresses, [])) == 0])
    error_message = "No address, no mail."
  }
}

run "a_budget_of_nothing_is_refused" {
  command = plan
  module {
    source = "./modules/cost"
  }
  variables {
    monthly_budget_usd = 0
  }

  expect_failures = [var.monthly_budget_usd]
}
