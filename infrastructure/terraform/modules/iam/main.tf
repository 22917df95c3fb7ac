# Who may do what. Data is named by bucket and prefix, never by "*".

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  s3        = "arn:${local.partition}:s3:::"
  lake      = "${local.s3}${var.lake_bucket}"
  lake_all  = "${local.lake}/${var.lake_path}/*"
  artifacts = "${local.s3}${var.artifacts_bucket}"
  logs      = "${local.s3}${var.logs_bucket}"
  state     = "${local.s3}${var.prefix}-state-${local.account}-${var.region}"
  clusters  = "arn:${local.partition}:elasticmapreduce:${var.region}:${local.account}:cluster/*"
}

# --- the service: starts nodes and ends them ------------------------------------------------------

data "aws_iam_policy_document" "service_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["elasticmapreduce.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:elasticmapreduce:${var.region}:${local.account}:*"]
    }
  }
}

data "aws_iam_policy_document" "service" {
  statement {
    sid       = "HandNodesTheirRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.node.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.amazonaws.com"]
    }
  }
  statement {
    sid       = "EncryptDisks"
    actions   = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = var.kms_key_arns
  }
}

resource "aws_iam_role" "service" {
  name               = "${var.prefix}-emr-service"
  assume_role_policy = data.aws_iam_policy_document.service_trust.json
}

# AWS keeps what its own service needs; it reaches only what bears EMR's tag.
resource "aws_iam_role_policy_attachment" "service" {
  role       = aws_iam_role.service.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2"
}

resource "aws_iam_role_policy" "service" {
  name   = "marketlake"
  role   = aws_iam_role.service.id
  policy = data.aws_iam_policy_document.service.json
}

# --- scaling by the custom policy -----------------------------------------------------------------

data "aws_iam_policy_document" "scaling_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["elasticmapreduce.amazonaws.com", "application-autoscaling.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "scaling" {
  statement {
    sid       = "ResizeOurClusters"
    actions   = ["elasticmapreduce:ListInstanceGroups", "elasticmapreduce:ModifyInstanceGroups"]
    resources = [local.clusters]
    dynamic "condition" {
      for_each = var.cost_tags
      content {
        test     = "StringEquals"
        variable = "elasticmapreduce:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }
  statement {
    sid       = "ReadAlarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = ["arn:${local.partition}:cloudwatch:${var.region}:${local.account}:alarm:*"]
  }
}

resource "aws_iam_role" "scaling" {
  name               = "${var.prefix}-emr-scaling"
  assume_role_policy = data.aws_iam_policy_document.scaling_trust.json
}

resource "aws_iam_role_policy" "scaling" {
  name   = "marketlake"
  role   = aws_iam_role.scaling.id
  policy = data.aws_iam_policy_document.scaling.json
}
