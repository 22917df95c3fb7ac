output "lake_bucket" {
  value = module.lake.buckets["lake"]
}

output "artifacts_bucket" {
  value = module.lake.buckets["artifacts"]
}

output "logs_bucket" {
  value = module.lake.buckets["logs"]
}

output "backup_bucket" {
  value = module.lake.buckets["backup"]
}

output "kms_key_arn" {
  value = module.lake.kms_key_arn
}

output "lake_uri" {
  value = module.lake.lake_uri
}

output "stream_names" {
  value = module.streams.stream_names
}

output "stream_arns" {
  value = module.streams.stream_arns
}

output "stream_prefix" {
  description = "PREFIX of `--source kinesis:REGION/PREFIX`."
  value       = module.streams.stream_prefix
}

output "kafka_bootstrap" {
  description = "Null without MSK."
  value       = module.streams.kafka_bootstrap
}

output "kafka_arn" {
  description = "Null without MSK."
  value       = module.streams.kafka_arn
}

output "network" {
  description = "The VPC that MSK stands in, for the cluster to stand there too; null without MSK."
  value       = var.kafka ? module.network[0].network : null
}
