output "stream_names" {
  description = "Kinesis streams by type of event: trade, quote, book, bar."
  value       = { for type, stream in aws_kinesis_stream.this : type => stream.name }
}

output "stream_arns" {
  description = "The same as ARNs."
  value       = { for type, stream in aws_kinesis_stream.this : type => stream.arn }
}

output "stream_prefix" {
  description = "PREFIX of `kinesis:REGION/PREFIX`."
  value       = local.stream_prefix
}

output "kafka_bootstrap" {
  description = "Brokers of MSK for clients with IAM, HOST:PORT with commas; null without MSK."
  value       = var.kafka == null ? null : aws_msk_cluster.kafka[0].bootstrap_brokers_sasl_iam
}

output "kafka_arn" {
  description = "The MSK cluster; null without."
  value       = var.kafka == null ? null : aws_msk_cluster.kafka[0].arn
}

output "guarded" {
  description = "What must not be destroyed by accident, by name."
  value = merge(
    { for type, stream in aws_kinesis_stream.this : "stream/${type}" => stream.arn },
    var.kafka == null ? {} : { "kafka" = aws_msk_cluster.kafka[0].arn },
  )
}
