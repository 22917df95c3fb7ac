data "aws_caller_identity" "current" {}

data "aws_iam_policy_document" "s3" {
  #checkov:skip=CKV_AWS_283:Packages of nodes are fetched without a signature, so that nobody in particular asks; ours only by our account
  statement {
    sid       = "OurBuckets"
    actions   = ["s3:*Object*", "s3:ListBucket*", "s3:GetBucketLocation", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = concat(var.data_buckets, [for arn in var.data_buckets : "${arn}/*"])
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    # A node cannot carry data out with the credentials of another account.
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }

  # What nodes of EMR fetch when they start: its packages, Amazon Linux's, and its catalogue.
  statement {
    sid     = "NodesStart"
    actions = ["s3:GetObject"]
    resources = [for bucket in [
      "repo.${var.region}.emr.amazonaws.com",
      "prod.${var.region}.appinfo.src",
      "${var.region}.elasticmapreduce",
      "al2023-repos-${var.region}-de612dc2",
    ] : "arn:${data.aws_partition.current.partition}:s3:::${bucket}/*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
  }

  # Where EMR keeps logs of the applications' pages, and Session Manager its updates.
  statement {
    sid     = "ServicesOfAws"
    actions = ["s3:GetObject", "s3:PutObject"]
    resources = [for bucket in [
      "prod.${var.region}.appinfo.src",
      "aws-ssm-${var.region}",
      "amazon-ssm-${var.region}",
      "amazoncloudwatch-agent-${var.region}",
    ] : "arn:${data.aws_partition.current.partition}:s3:::${bucket}/*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  policy            = data.aws_iam_policy_document.s3.json
  tags              = { Name = "${var.prefix}-s3" }
}

resource "aws_security_group" "endpoints" {
  name                   = "${var.prefix}-endpoints"
  description            = "Endpoints of AWS services"
  vpc_id                 = aws_vpc.this.id
  revoke_rules_on_delete = true
  tags                   = { Name = "${var.prefix}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "HTTPS from the VPC"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = var.cidr
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = var.interface_endpoints
  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.endpoints.id]
  tags                = { Name = "${var.prefix}-${each.key}" }
}
