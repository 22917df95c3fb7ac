# Policies for people, to be attached to a permission set or a group: who submits jobs as steps, who
# looks after the stream, and who only reads.

data "aws_iam_policy_document" "submit" {
  statement {
    sid = "StepsOnOurClusters"
    actions = [
      "elasticmapreduce:AddJobFlowSteps", "elasticmapreduce:CancelSteps", "elasticmapreduce:DescribeCluster",
      "elasticmapreduce:DescribeStep", "elasticmapreduce:ListInstances", "elasticmapreduce:ListSteps",
    ]
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
  # Which release jobs are submitted with, and what the cluster is called.
  statement {
    sid       = "ReadReleases"
    actions   = ["s3:GetObject"]
    resources = ["${local.artifacts}/releases/*", "${local.state}/${var.cost_tags["environment"]}/*.tfstate"]
  }
  statement {
    sid       = "FindState"
    actions   = ["s3:ListBucket"]
    resources = [local.state]
  }
  statement {
    sid       = "UseKeys"
    actions   = ["kms:Decrypt"]
    resources = var.kms_key_arns
  }
}

resource "aws_iam_policy" "submit" {
  name        = "${var.prefix}-submit"
  description = "Submit jobs as steps, and read their logs"
  policy      = data.aws_iam_policy_document.submit.json
}

# Attached beside "submit": ends a stream in good order, and opens pages of the cluster.
data "aws_iam_policy_document" "operate" {
  statement {
    sid       = "AskTheStreamToEnd"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${local.lake}/${var.lake_path}/_marketlake/stream/*"]
  }
  statement {
    sid       = "ListTheStream"
    actions   = ["s3:ListBucket"]
    resources = [local.lake]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.lake_path}/_marketlake/stream/*"]
    }
  }
  statement {
    sid       = "UseKeys"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = var.kms_key_arns
  }
  statement {
    sid       = "ReachOurNodes"
    actions   = ["ssm:StartSession"]
    resources = ["arn:${local.partition}:ec2:${var.region}:${local.account}:instance/*"]
    dynamic "condition" {
      for_each = var.cost_tags
      content {
        test     = "StringEquals"
        variable = "ssm:resourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }
  statement {
    sid       = "ForwardPorts"
    actions   = ["ssm:StartSession"]
    resources = ["arn:${local.partition}:ssm:${var.region}::document/AWS-StartPortForwardingSession"]
  }
  statement {
    sid       = "EndOwnSessions"
    actions   = ["ssm:TerminateSession", "ssm:ResumeSession"]
    resources = ["arn:${local.partition}:ssm:${var.region}:${local.account}:session/$${aws:userid}-*"]
  }
}

resource "aws_iam_policy" "operate" {
  name        = "${var.prefix}-operate"
  description = "End streams in good order, and open pages of the cluster through Session Manager"
  policy      = data.aws_iam_policy_document.operate.json
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
