# What the agent on the nodes sends: one group for the stream, one for everything else.

resource "aws_cloudwatch_log_group" "this" {
  for_each          = toset(["stream", "jobs", "sessions"])
  name              = "/${var.prefix}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.operations.arn
}
