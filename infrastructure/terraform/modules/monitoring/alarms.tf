# Each alarm has a runbook of its name in docs/operations.md.

locals {
  ours  = "Marketlake"
  emr   = "AWS/ElasticMapReduce"
  hours = 3600

  # Where nothing is said: the stream stands, or no one asked for one.
  of_stream = var.stream_expected ? "breaching" : "notBreaching"

  alarms = {
    cpu = {
      text      = "Nodes have been busy: CPU over ${var.thresholds.cpu_percent} % twice"
      namespace = local.ours, metric = "cpu_usage_active", dimensions = { environment = var.environment }
      statistic = "Average", period = 300, times = 2, above = var.thresholds.cpu_percent, missing = "missing"
    }
    memory = {
      text      = "Nodes are short of memory: over ${var.thresholds.memory_percent} % twice"
      namespace = local.ours, metric = "mem_used_percent", dimensions = { environment = var.environment }
      statistic = "Average", period = 300, times = 2, above = var.thresholds.memory_percent, missing = "missing"
    }
    failed-steps = {
      text      = "A step failed"
      namespace = "AWS/Events", metric = "TriggeredRules", dimensions = { RuleName = aws_cloudwatch_event_rule.failed_step.name }
      statistic = "Sum", period = 300, times = 1, above = 0, missing = "notBreaching"
    }
    failed-applications = {
      text      = "An application of YARN failed"
      namespace = local.emr, metric = "AppsFailed", dimensions = { JobFlowId = var.cluster_id }
      statistic = "Maximum", period = 300, times = 1, above = 0, missing = "notBreaching"
    }
    unhealthy-nodes = {
      text      = "YARN has given up a node"
      namespace = local.emr, metric = "MRUnhealthyNodes", dimensions = { JobFlowId = var.cluster_id }
      statistic = "Maximum", period = 300, times = 2, above = 0, missing = "notBreaching"
    }
    idle = {
      text      = "The cluster has had nothing to do for ${var.thresholds.idle_s} seconds, and costs all the same"
      namespace = local.emr, metric = "IsIdle", dimensions = { JobFlowId = var.cluster_id }
      statistic = "Minimum", period = 300, times = ceil(var.thresholds.idle_s / 300), above = 0, missing = "notBreaching"
    }
    freshness = {
      text      = "Tables have had nothing new for ${var.thresholds.freshness_s} seconds"
      namespace = local.ours, metric = "table_freshness_seconds", dimensions = { environment = var.environment }
      statistic = "Maximum", period = 60, times = 5, above = var.thresholds.freshness_s, missing = local.of_stream
    }
    unaccounted = {
      text      = "Messages are neither in a table nor in quarantine: a fault of the program"
      namespace = local.ours, metric = "unaccounted_messages", dimensions = { environment = var.environment }
      statistic = "Maximum", period = 60, times = 1, above = 0, missing = "notBreaching"
    }
  }

  lag = {
    for type, stream in var.stream_names : "lag-${type}" => {
      text      = "The newest record read from ${stream} is ${var.thresholds.lag_ms} ms old"
      namespace = "AWS/Kinesis", metric = "GetRecords.IteratorAgeMilliseconds", dimensions = { StreamName = stream }
      statistic = "Maximum", period = 60, times = 5, above = var.thresholds.lag_ms, missing = local.of_stream
    }
  }

  # AWS tells what an account has cost in one region only.
  charges = var.region != "us-east-1" ? {} : {
    charges = {
      text      = "The account has cost more this month than ${var.environment} may"
      namespace = "AWS/Billing", metric = "EstimatedCharges", dimensions = { Currency = "USD" }
      statistic = "Maximum", period = 6 * local.hours, times = 1, above = var.monthly_budget_usd, missing = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = merge(local.alarms, local.lag, local.charges)
  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = "${each.value.text}. Runbook: docs/operations.md"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.times
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "quarantined" {
  alarm_name          = "${var.prefix}-quarantined"
  alarm_description   = "More than ${var.thresholds.quarantined_percent} % of messages are refused. Runbook: docs/operations.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.quarantined_percent
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "share"
    expression  = "IF(read > 0, 100 * quarantined / read, 0)"
    label       = "Quarantined, percent"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { quarantined = "quarantined_messages_total", read = "messages_read_total" }
    content {
      id          = metric_query.key
      return_data = false
      metric {
        namespace   = local.ours
        metric_name = metric_query.value
        dimensions  = { environment = var.environment }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

# --- steps ----------------------------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "failed_step" {
  name        = "${var.prefix}-failed-step"
  description = "Steps of the cluster that failed"
  event_pattern = jsonencode({
    source      = ["aws.emr"]
    detail-type = ["EMR Step Status Change"]
    detail      = { state = ["FAILED"], clusterId = [var.cluster_id] }
  })
}

resource "aws_cloudwatch_event_target" "failed_step" {
  rule      = aws_cloudwatch_event_rule.failed_step.name
  target_id = "alarms"
  arn       = aws_sns_topic.alarms.arn
}
