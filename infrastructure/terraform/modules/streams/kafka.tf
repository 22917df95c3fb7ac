resource "aws_security_group" "kafka" {
  count       = var.kafka == null ? 0 : 1
  name        = "${var.prefix}-kafka"
  description = "Brokers of MSK"
  vpc_id      = var.kafka.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "kafka" {
  count             = var.kafka == null ? 0 : 1
  security_group_id = aws_security_group.kafka[0].id
  description       = "Kafka with IAM, from the VPC"
  ip_protocol       = "tcp"
  from_port         = 9098
  to_port           = 9098
  cidr_ipv4         = var.kafka.vpc_cidr
}

resource "aws_cloudwatch_log_group" "kafka" {
  count             = var.kafka == null ? 0 : 1
  name              = "/${var.prefix}/kafka"
  retention_in_days = 365
  kms_key_id        = var.kms_key_arn
}

resource "aws_msk_configuration" "kafka" {
  count          = var.kafka == null ? 0 : 1
  name           = "${var.prefix}-kafka"
  kafka_versions = [var.kafka.version]

  # A message that was acknowledged is on two of three brokers.
  server_properties = <<-PROPERTIES
    auto.create.topics.enable=false
    default.replication.factor=3
    min.insync.replicas=2
    log.retention.hours=${var.retention_hours}
  PROPERTIES
}

resource "aws_msk_cluster" "kafka" {
  count                  = var.kafka == null ? 0 : 1
  cluster_name           = "${var.prefix}-kafka"
  kafka_version          = var.kafka.version
  number_of_broker_nodes = length(var.kafka.subnet_ids)

  broker_node_group_info {
    instance_type   = var.kafka.instance_type
    client_subnets  = var.kafka.subnet_ids
    security_groups = [aws_security_group.kafka[0].id]
    storage_info {
      ebs_storage_info {
        volume_size = var.kafka.volume_gib
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.kafka[0].arn
    revision = aws_msk_configuration.kafka[0].latest_revision
  }

  client_authentication {
    sasl {
      iam = true
    }
    unauthenticated = false
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.kms_key_arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.kafka[0].name
      }
    }
  }

  lifecycle {
    precondition {
      condition     = length(var.kafka.subnet_ids) == 3
      error_message = "MSK needs three subnets, in three zones: each message is kept on three brokers."
    }
  }
}
