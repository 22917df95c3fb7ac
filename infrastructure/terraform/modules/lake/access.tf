# Who touched the buckets: S3's own log of accesses, in a bucket of its own, since S3 writes it to no
# bucket that is encrypted with a key of KMS.

resource "aws_s3_bucket" "access" {
  #checkov:skip=CKV2_AWS_62:Nothing waits for a line of this log
  #checkov:skip=CKV_AWS_144:A log of accesses for 90 days, of which nothing depends
  #checkov:skip=CKV_AWS_145:S3 writes its log to no bucket that is encrypted with a key of KMS
  bucket        = local.access
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_server_side_encryption_configuration" "access" {
  bucket = aws_s3_bucket.access.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "access" {
  bucket = aws_s3_bucket.access.id

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

data "aws_iam_policy_document" "access" {
  source_policy_documents = var.emulated ? [] : [data.aws_iam_policy_document.tls_only["access"].json]

  statement {
    sid       = "LogDelivery"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.access.arn}/*"]
    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [for bucket in aws_s3_bucket.this : bucket.arn]
    }
  }
}

resource "aws_s3_bucket_policy" "access" {
  bucket = aws_s3_bucket.access.id
  policy = data.aws_iam_policy_document.access.json
}
