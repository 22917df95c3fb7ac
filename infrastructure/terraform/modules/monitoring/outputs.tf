output "alarm_topic_arn" {
  value = aws_sns_topic.alarms.arn
}

output "kms_key_arn" {
  description = "Key of logs and alarms."
  value       = aws_kms_key.operations.arn
}

output "dashboard_name" {
  value = aws_cloudwatch_dashboard.this.dashboard_name
}

output "alarm_names" {
  value = sort(concat([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name], [aws_cloudwatch_metric_alarm.quarantined.alarm_name]))
}
