# Where messages come in: Kinesis, and MSK where it is asked for.

locals {
  # Streams are PREFIX.topic, and `kinesis:REGION/PREFIX` is how the stream job is told.
  stream_prefix = "${var.prefix}-market"
  topics        = { trade = "trades", quote = "quotes", book = "books", bar = "bars" }
}

resource "aws_kinesis_stream" "this" {
  for_each         = local.topics
  name             = "${local.stream_prefix}.${each.value}"
  retention_period = var.retention_hours
  shard_count      = var.shards == null ? null : var.shards[each.key]
  encryption_type  = "KMS"
  kms_key_id       = var.kms_key_arn

  stream_mode_details {
    stream_mode = var.shards == null ? "ON_DEMAND" : "PROVISIONED"
  }
}
