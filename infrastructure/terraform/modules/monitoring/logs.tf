# What the agent on the nodes sends, of the stream and of jobs beside it. EMR's own logs go to S3.

resource "aws_cloudwatch_log_group" "this" {
  for_each          = toset(["stream", "jobs"])
  name              = "/${var.prefix}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.operations.arn
}
