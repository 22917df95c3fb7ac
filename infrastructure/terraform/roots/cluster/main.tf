# Everything that can be thrown away and made anew: the network, the roles, the cluster, its alarms.

locals {
  network   = var.network == null ? module.network[0].network : var.network
  lake_path = regex("^s3a://[^/]+/(.+)$", var.lake_uri)[0]

  # Whether jobs use Glue is said once, in the settings of the code.
  classifications = jsondecode(file(var.configurations_file))[*].Classification
}

data "aws_partition" "current" {}

module "network" {
  source = "../../../modules/network"
  count  = var.network == null ? 1 : 0

  prefix      = local.prefix
  region      = var.region
  zones       = var.zones
  kms_key_arn = module.monitoring.kms_key_arn
  data_buckets = [
    for bucket in [var.lake_bucket, var.artifacts_bucket, var.logs_bucket, var.backup_bucket] :
    "arn:${data.aws_partition.current.partition}:s3:::${bucket}"
  ]
}

module "iam" {
  source = "../../../modules/iam"

  prefix           = local.prefix
  region           = var.region
  lake_bucket      = var.lake_bucket
  lake_path        = local.lake_path
  artifacts_bucket = var.artifacts_bucket
  logs_bucket      = var.logs_bucket
  kms_key_arns     = [var.kms_key_arn]
  stream_arns      = var.stream_arns
  fan_out          = var.fan_out
  kafka_arn        = var.kafka_arn
  glue_catalog     = contains(local.classifications, "spark-hive-site")
  cost_tags        = { project = var.name, environment = var.environment }
}

module "emr" {
  source = "../../../modules/emr"

  prefix              = local.prefix
  configurations_file = var.configurations_file
  network             = local.network
  roles = {
    service          = module.iam.service_role_arn
    scaling          = module.iam.scaling_role_arn
    instance_profile = module.iam.instance_profile_arn
  }
  kms_key_arn          = var.kms_key_arn
  log_uri              = "s3://${var.logs_bucket}/emr/"
  certificates_archive = var.certificates_archive
  bootstrap_actions = [for action in var.bootstrap_actions : {
    name = action.name, path = "${var.bootstrap_prefix}/${action.name}", args = action.args
  }]

  cluster_mode            = var.cluster_mode
  nodes                   = var.nodes
  scaling                 = var.scaling
  scaling_policy          = var.scaling_policy
  task_spot               = var.task_spot
  gpu_task_group          = var.gpu_task_group ? { instance_type = var.gpu_instance_type } : null
  serverless              = var.serverless
  auto_termination_idle_s = var.auto_termination_idle_s
  termination_protection  = var.termination_protection
}

module "monitoring" {
  source = "../../../modules/monitoring"

  prefix             = local.prefix
  region             = var.region
  environment        = var.environment
  cluster_id         = module.emr.cluster_id
  stream_names       = var.stream_names
  stream_expected    = var.stream_expected
  monthly_budget_usd = var.monthly_budget_usd
  alarm_email        = var.alarm_email
}

module "cost" {
  source = "../../../modules/cost"

  prefix             = local.prefix
  environment        = var.environment
  monthly_budget_usd = var.monthly_budget_usd
  alarm_topic_arn    = module.monitoring.alarm_topic_arn
  alarm_email        = var.alarm_email
}
