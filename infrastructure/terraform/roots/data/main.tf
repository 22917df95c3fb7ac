# What must outlive every cluster, in a state of its own: no change to a cluster can reach it.

module "lake" {
  source = "../../../modules/lake"

  prefix                 = local.prefix
  region                 = var.region
  emulated               = var.emulated
  force_destroy          = var.force_destroy
  bronze_infrequent_days = var.bronze_infrequent_days
  log_days               = var.log_days
}

module "streams" {
  source = "../../../modules/streams"

  prefix          = local.prefix
  kms_key_arn     = module.lake.kms_key_arn
  shards          = var.shards
  retention_hours = var.retention_hours
  kafka           = var.kafka ? module.network[0].network : null
}

module "network" {
  source = "../../../modules/network"
  count  = var.kafka ? 1 : 0

  prefix       = local.prefix
  region       = var.region
  zones        = 3
  kms_key_arn  = module.lake.kms_key_arn
  data_buckets = values(module.lake.bucket_arns)
}

# Terraform knows `prevent_destroy` only as a word in the code, the same for every environment. So it
# stands on these, one for each thing: where the thing is destroyed or replaced, its guard would be too.
resource "terraform_data" "guard" {
  for_each         = var.protected ? merge(module.lake.guarded, module.streams.guarded) : {}
  triggers_replace = each.value

  lifecycle {
    prevent_destroy = true
  }
}
