# The role of the nodes: what a job may do. Jobs read streams and artifacts, and write the lake.

data "aws_iam_policy_document" "node_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "node" {
  statement {
    sid       = "ListLake"
    actions   = ["s3:ListBucket"]
    resources = [local.lake]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.lake_path}", "${var.lake_path}/*"]
    }
  }
  statement {
    sid       = "LocateBuckets"
    actions   = ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"]
    resources = [local.lake, local.artifacts, local.logs]
  }
  statement {
    sid       = "WriteLake"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = [local.lake_all]
  }
  statement {
    sid       = "ListArtifacts"
    actions   = ["s3:ListBucket"]
    resources = [local.artifacts]
  }
  # What jobs run is put there by those who deploy, and never by a job.
  statement {
    sid       = "ReadArtifacts"
    actions   = ["s3:GetObject"]
    resources = ["${local.artifacts}/*"]
  }
  statement {
    sid       = "WriteLogs"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.logs}/emr/*"]
  }
  statement {
    sid       = "UseKeys"
    actions   = ["kms:Decrypt", "kms:Encrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = var.kms_key_arns
  }
  statement {
    sid = "ReadStreams"
    actions = [
      "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords",
      "kinesis:GetShardIterator", "kinesis:ListShards",
    ]
    resources = values(var.stream_arns)
  }
  # Metrics know no resource; the namespace is what can be said.
  statement {
    sid       = "TellMetrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["Marketlake"]
    }
  }
  statement {
    sid     = "TellLogs"
    actions = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [for group in ["stream", "jobs"] :
    "arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/${var.prefix}/${group}:*"]
  }

  dynamic "statement" {
    for_each = var.fan_out ? [1] : []
    content {
      sid       = "NameConsumers"
      actions   = ["kinesis:ListStreamConsumers", "kinesis:RegisterStreamConsumer"]
      resources = values(var.stream_arns)
    }
  }

  dynamic "statement" {
    for_each = var.fan_out ? [1] : []
    content {
      sid       = "ReadAsConsumers"
      actions   = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard", "kinesis:DeregisterStreamConsumer"]
      resources = [for arn in values(var.stream_arns) : "${arn}/consumer/${var.prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = var.kafka_arn == null ? [] : [var.kafka_arn]
    content {
      sid     = "ReadKafka"
      actions = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster", "kafka-cluster:DescribeTopic", "kafka-cluster:ReadData", "kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
      resources = [
        statement.value,
        "${replace(statement.value, ":cluster/", ":topic/")}/*",
        "${replace(statement.value, ":cluster/", ":group/")}/*",
      ]
    }
  }

  dynamic "statement" {
    for_each = var.glue_catalog ? [1] : []
    content {
      sid = "KeepCatalog"
      actions = [
        "glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables", "glue:GetPartitions",
        "glue:CreateTable", "glue:UpdateTable",
      ]
      resources = [
        "arn:${local.partition}:glue:${var.region}:${local.account}:catalog",
        "arn:${local.partition}:glue:${var.region}:${local.account}:database/default",
        "arn:${local.partition}:glue:${var.region}:${local.account}:database/${replace(var.prefix, "-", "_")}_*",
        "arn:${local.partition}:glue:${var.region}:${local.account}:table/${replace(var.prefix, "-", "_")}_*/*",
      ]
    }
  }
}

resource "aws_iam_role" "node" {
  name               = "${var.prefix}-emr-node"
  assume_role_policy = data.aws_iam_policy_document.node_trust.json
}

resource "aws_iam_role_policy" "node" {
  name   = "marketlake"
  role   = aws_iam_role.node.id
  policy = data.aws_iam_policy_document.node.json
}

# Session Manager is how people reach a node: no key pair, no port 22, and CloudTrail knows who it was.
resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.node.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "node" {
  name = "${var.prefix}-emr-node"
  role = aws_iam_role.node.name
}
