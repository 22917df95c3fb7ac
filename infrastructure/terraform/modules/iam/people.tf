# Policies for people, to be attached to a permission set or a group: who submits jobs as steps, and
# who only reads.

data "aws_iam_policy_document" "submit" {
  statement {
    sid = "StepsOnOurClusters"
    actions = [
      "elasticmapreduce:AddJobFlowSteps", "elasticmapreduce:CancelSteps", "elasticmapreduce:DescribeCluster",
      "elasticmapreduce:DescribeStep", "elasticmapreduce:ListInstances", "elasticmapreduce:ListSteps",
    ]
    resources = [local.clusters]
    condition {
      test     = "StringEquals"
      variable = "elasticmapreduce:ResourceTag/environment"
      values   = [var.cost_tags["environment"]]
    }
    condition {
      test     = "StringEquals"
      variable = "elasticmapreduce:ResourceTag/project"
      values   = [var.cost_tags["project"]]
    }
  }
  # This call knows no resource; it shows names and states.
  statement {
    sid       = "FindClusters"
    actions   = ["elasticmapreduce:ListClusters"]
    resources = ["*"]
  }
  statement {
    sid       = "ListLogs"
    actions   = ["s3:ListBucket"]
    resources = [local.logs]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["emr/*"]
    }
  }
  statement {
    sid       = "ReadLogs"
    actions   = ["s3:GetObject"]
    resources = ["${local.logs}/emr/*"]
  }
  statement {
    sid       = "PutApplications"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${local.artifacts}/applications/*"]
  }
  statement {
    sid       = "UseKeys"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = var.kms_key_arns
  }
}

resource "aws_iam_policy" "submit" {
  name        = "${var.prefix}-submit"
  description = "Submit jobs as steps, and read their logs"
  policy      = data.aws_iam_policy_document.submit.json
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "ListTables"
    actions   = ["s3:ListBucket"]
    resources = [local.lake]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.lake_path}/silver/*", "${var.lake_path}/gold/*"]
    }
  }
  statement {
    sid       = "ReadTables"
    actions   = ["s3:GetObject"]
    resources = ["${local.lake}/${var.lake_path}/silver/*", "${local.lake}/${var.lake_path}/gold/*"]
  }
  statement {
    sid       = "UseKeys"
    actions   = ["kms:Decrypt"]
    resources = var.kms_key_arns
  }
}

resource "aws_iam_policy" "read" {
  name        = "${var.prefix}-read"
  description = "Read the clean tables, silver and gold"
  policy      = data.aws_iam_policy_document.read.json
}
