# Buckets and the key of the data: what must outlive every cluster.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  root    = "arn:${data.aws_partition.current.partition}:iam::${local.account}:root"

  # Names of buckets are one space for all accounts of the world.
  buckets = { for use in ["lake", "artifacts", "logs", "backup"] : use => "${var.prefix}-${local.account}-${use}" }
  access  = "${var.prefix}-${local.account}-access"

  # Files of a partition, and never `_delta_log` beside them. The table is bronze/events.
  bronze_files = "${var.lake_path}/bronze/events/date="
}

# --- key ------------------------------------------------------------------------------------------

resource "aws_kms_key" "data" {
  description             = "Data of ${var.prefix}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  # In a key's policy "*" is that key. Who may use it is said by the policies of the roles.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RightsByRoles"
        Effect    = "Allow"
        Action    = "kms:*"
        Resource  = "*"
        Principal = { AWS = local.root }
      },
      {
        # MSK's logs, and those of the network it stands in.
        Sid       = "KeepLogs"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Condition = { ArnLike = {
          "kms:EncryptionContext:aws:logs:arn" = "arn:${data.aws_partition.current.partition}:logs:${var.region}:${local.account}:log-group:/${var.prefix}/*"
        } }
      },
    ]
  })
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.prefix}-data"
  target_key_id = aws_kms_key.data.key_id
}

# --- buckets --------------------------------------------------------------------------------------

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_61:Each has its rules, below; the check cannot follow a bucket by its key in the map
  #checkov:skip=CKV2_AWS_62:Nothing waits for objects: streams and tables tell what is new
  #checkov:skip=CKV_AWS_144:Messages can be read again from Kinesis for days, and the backup bucket is for what cannot
  for_each      = local.buckets
  bucket        = each.value
  force_destroy = var.force_destroy

  # So that the key goes last: where a bucket cannot be deleted, what it holds can still be read.
  depends_on = [aws_kms_key.data]
}

locals {
  # What holds for the log of accesses too.
  every_bucket = merge(aws_s3_bucket.this, { access = aws_s3_bucket.access })
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.every_bucket
  bucket   = each.value.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.data.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = local.every_bucket
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.every_bucket
  bucket   = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_logging" "this" {
  for_each      = aws_s3_bucket.this
  bucket        = each.value.id
  target_bucket = aws_s3_bucket.access.id
  target_prefix = "${each.key}/"

  # S3 refuses a bucket that its log may not be written to.
  depends_on = [aws_s3_bucket_policy.access]
}

data "aws_iam_policy_document" "tls_only" {
  for_each = local.every_bucket

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "tls_only" {
  for_each = var.emulated ? {} : local.buckets
  bucket   = aws_s3_bucket.this[each.key].id
  policy   = data.aws_iam_policy_document.tls_only[each.key].json
}

# --- what ages ------------------------------------------------------------------------------------

resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  bucket = aws_s3_bucket.this["lake"].id

  # Nothing of a lake is ever expired here: Delta's log would go on naming it. `marketlake maintain`
  # takes away what is old, and this what it took away: leases and logs are rewritten many times an hour.
  rule {
    id     = "replaced-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "bronze-cools"
    status = "Enabled"
    filter {
      prefix = local.bronze_files
    }
    transition {
      days          = var.bronze_infrequent_days
      storage_class = "STANDARD_IA"
    }
    transition {
      days          = var.bronze_archive_days
      storage_class = "GLACIER_IR"
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  bucket = aws_s3_bucket.this["logs"].id

  rule {
    id     = "logs-expire"
    status = "Enabled"
    filter {}
    expiration {
      days = var.log_days
    }
    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "kept" {
  for_each = toset(["artifacts", "backup"])
  bucket   = aws_s3_bucket.this[each.key].id

  rule {
    id     = "replaced-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
