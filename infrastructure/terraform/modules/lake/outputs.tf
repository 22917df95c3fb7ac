output "buckets" {
  description = "Names of the buckets by use: lake, artifacts, logs, backup."
  value       = { for use, bucket in aws_s3_bucket.this : use => bucket.id }
}

output "kms_key_arn" {
  description = "Key of the data."
  value       = aws_kms_key.data.arn
}

output "lake_uri" {
  description = "The lake, as the commands of marketlake take it."
  value       = "s3a://${aws_s3_bucket.this["lake"].id}/${var.lake_path}"
}

output "guarded" {
  description = "What must not be destroyed by accident, by name."
  value = merge(
    { for use, bucket in aws_s3_bucket.this : "bucket/${use}" => bucket.arn },
    { "key/data" = aws_kms_key.data.arn },
  )
}

output "bucket_arns" {
  description = "ARNs of the buckets by use."
  value       = { for use, bucket in aws_s3_bucket.this : use => bucket.arn }
}
