output "cluster_id" {
  value = module.emr.cluster_id
}

output "cluster_name" {
  value = module.emr.cluster_name
}

output "release_label" {
  value = module.emr.release_label
}

output "log_uri" {
  value = module.emr.log_uri
}

output "master_security_group_id" {
  value = module.emr.master_security_group_id
}

output "alarm_topic_arn" {
  value = module.monitoring.alarm_topic_arn
}

output "alarm_names" {
  value = module.monitoring.alarm_names
}

output "dashboard_name" {
  value = module.monitoring.dashboard_name
}

output "emr_serverless_application_id" {
  description = "Null without."
  value       = module.emr.serverless_application_id
}

output "job_flow_role" {
  value = module.iam.node_role_name
}

output "service_role" {
  value = module.iam.service_role_name
}

output "scaling" {
  value = var.scaling
}

output "environment_archive" {
  description = "What jobs run in, as it was deployed."
  value       = var.environment_archive
}

output "application_archive" {
  description = "What jobs run, as it was deployed."
  value       = var.application_archive
}
