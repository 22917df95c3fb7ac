mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  prefix = "marketlake-dev"
  region = "eu-west-1"
}

run "buckets_are_closed_versioned_and_encrypted" {
  command = plan
  module {
    source = "./modules/lake"
  }

  assert {
    condition     = toset(keys(aws_s3_bucket.this)) == toset(["lake", "artifacts", "logs", "backup"])
    error_message = "Four buckets, by use."
  }
  assert {
    condition     = alltrue([for block in values(aws_s3_bucket_public_access_block.this) : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets])
    error_message = "Nothing of a bucket may be public."
  }
  assert {
    condition     = alltrue([for bucket in values(aws_s3_bucket_versioning.this) : bucket.versioning_configuration[0].status == "Enabled"])
    error_message = "Every bucket keeps versions."
  }
  assert {
    condition = alltrue([for bucket in values(aws_s3_bucket_server_side_encryption_configuration.this) :
    one(bucket.rule).bucket_key_enabled && one(one(bucket.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"])
    error_message = "Every bucket is encrypted with our key, asked for once and not once an object."
  }
  assert {
    condition     = toset(keys(aws_s3_bucket_policy.tls_only)) == toset(keys(aws_s3_bucket.this))
    error_message = "Every bucket refuses requests without TLS."
  }
  assert {
    condition     = aws_kms_key.data.enable_key_rotation && aws_kms_key.data.deletion_window_in_days == 30
    error_message = "The key rotates, and is there for 30 days more."
  }
  assert {
    condition     = alltrue([for bucket in values(aws_s3_bucket.this) : !bucket.force_destroy])
    error_message = "S3 has to refuse to delete a bucket that holds something."
  }
}

run "only_bronze_data_files_cool_and_nothing_of_the_lake_expires" {
  module {
    source = "./modules/lake"
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.lake.rule : length(rule.expiration) == 0])
    error_message = "An object that S3 expires is one that a table still names."
  }
  assert {
    condition = toset(flatten([for rule in aws_s3_bucket_lifecycle_configuration.lake.rule :
    [for filter in rule.filter : filter.prefix] if length(rule.transition) > 0])) == toset(["lake/bronze/events/date="])
    error_message = "Only files of bronze's partitions cool: never a log of Delta, a checkpoint or state."
  }
  assert {
    condition = alltrue([for path in ["lake/bronze/events/_delta_log/", "lake/_marketlake/stream/checkpoint/", "lake/state/folds/"] :
    alltrue([for rule in aws_s3_bucket_lifecycle_configuration.lake.rule : length(rule.transition) == 0 || !startswith(path, one(rule.filter).prefix)])])
    error_message = "Checkpoints and logs of Delta are read at every batch."
  }
  assert {
    condition     = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.logs.rule : one(rule.expiration).days == 90])
    error_message = "Logs go after 90 days."
  }
}

run "emulators_are_not_locked_out" {
  command = plan
  module {
    source = "./modules/lake"
  }
  variables {
    emulated = true
  }

  assert {
    condition     = length(aws_s3_bucket_policy.tls_only) == 0
    error_message = "Emulators speak without TLS."
  }
}

run "s3_takes_nothing_to_infrequent_access_before_30_days" {
  command = plan
  module {
    source = "./modules/lake"
  }
  variables {
    bronze_infrequent_days = 29
  }

  expect_failures = [var.bronze_infrequent_days]
}
