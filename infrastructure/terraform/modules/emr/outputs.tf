output "cluster_id" {
  value = aws_emr_cluster.this.id
}

output "cluster_name" {
  value = aws_emr_cluster.this.name
}

output "cluster_arn" {
  value = aws_emr_cluster.this.arn
}

output "release_label" {
  value = aws_emr_cluster.this.release_label
}

output "log_uri" {
  value = aws_emr_cluster.this.log_uri
}

output "master_security_group_id" {
  value = aws_security_group.master.id
}

output "security_configuration" {
  value = aws_emr_security_configuration.this.name
}

output "serverless_application_id" {
  description = "Null without."
  value       = var.serverless ? aws_emrserverless_application.batch[0].id : null
}
