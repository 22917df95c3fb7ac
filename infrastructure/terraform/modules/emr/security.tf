# --- encryption, and the instance metadata service ------------------------------------------------

locals {
  security_configuration = jsonencode({
    EncryptionConfiguration = merge(
      {
        EnableAtRestEncryption    = true
        EnableInTransitEncryption = var.certificates_archive != null
        AtRestEncryptionConfiguration = {
          S3EncryptionConfiguration = { EncryptionMode = "SSE-KMS", AwsKmsKey = var.kms_key_arn }
          LocalDiskEncryptionConfiguration = {
            EncryptionKeyProviderType = "AwsKms", AwsKmsKey = var.kms_key_arn, EnableEbsEncryption = true
          }
        }
      },
      var.certificates_archive == null ? {} : {
        InTransitEncryptionConfiguration = { TLSCertificateConfiguration = {
          CertificateProviderType = "PEM", S3Object = var.certificates_archive
        } }
      },
    )
    InstanceMetadataServiceConfiguration = {
      MinimumInstanceMetadataServiceVersion = 2
      HttpPutResponseHopLimit               = 1
    }
  })
}

resource "aws_emr_security_configuration" "this" {
  #checkov:skip=CKV_AWS_171:It is SSE-KMS, as a test asserts; the check cannot read what merge() gives
  # Named by what it says: a cluster keeps the one it began with, so another one is another cluster.
  name          = "${var.prefix}-${substr(sha256(local.security_configuration), 0, 8)}"
  configuration = local.security_configuration

  lifecycle {
    create_before_destroy = true
  }
}

# --- groups ---------------------------------------------------------------------------------------
# EMR writes into these what nodes need of each other and of the service, and nothing for people:
# whoever needs a page forwards its port through Session Manager.

resource "aws_security_group" "master" {
  name                   = "${var.prefix}-emr-master"
  description            = "Master of EMR"
  vpc_id                 = var.network.vpc_id
  revoke_rules_on_delete = true
  tags                   = merge(local.emr_tag, { Name = "${var.prefix}-emr-master" })
}

resource "aws_security_group" "node" {
  name                   = "${var.prefix}-emr-node"
  description            = "Core and task nodes of EMR"
  vpc_id                 = var.network.vpc_id
  revoke_rules_on_delete = true
  tags                   = merge(local.emr_tag, { Name = "${var.prefix}-emr-node" })
}

resource "aws_security_group" "service" {
  name                   = "${var.prefix}-emr-service"
  description            = "EMR's service, in a private subnet"
  vpc_id                 = var.network.vpc_id
  revoke_rules_on_delete = true
  tags                   = merge(local.emr_tag, { Name = "${var.prefix}-emr-service" })
}

locals {
  node_groups = {
    master = aws_security_group.master.id
    node   = aws_security_group.node.id
  }
}

resource "aws_vpc_security_group_egress_rule" "vpc" {
  for_each          = local.node_groups
  security_group_id = each.value
  description       = "Other nodes, and the endpoints"
  ip_protocol       = "-1"
  cidr_ipv4         = var.network.vpc_cidr
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each          = local.node_groups
  security_group_id = each.value
  description       = "S3, by its endpoint"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = var.network.s3_prefix_list_id
}

# EMR asks for this one where the group is ours: its service is reached through the master.
resource "aws_vpc_security_group_ingress_rule" "service" {
  security_group_id            = aws_security_group.service.id
  description                  = "The master reports to EMR's service"
  ip_protocol                  = "tcp"
  from_port                    = 9443
  to_port                      = 9443
  referenced_security_group_id = aws_security_group.master.id
}

resource "aws_vpc_security_group_egress_rule" "service" {
  for_each                     = local.node_groups
  security_group_id            = aws_security_group.service.id
  description                  = "EMR's service tells nodes what to do"
  ip_protocol                  = "tcp"
  from_port                    = 8443
  to_port                      = 8443
  referenced_security_group_id = each.value
}
