mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  prefix       = "marketlake-dev"
  region       = "eu-west-1"
  kms_key_arn  = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  data_buckets = ["arn:aws:s3:::lake"]
}

run "private_and_with_every_endpoint_that_a_cluster_needs" {
  module {
    source = "./modules/network"
  }

  assert {
    condition     = length(setsubtract(["kinesis-streams", "kms", "sts", "logs", "ssm", "ssmmessages"], keys(aws_vpc_endpoint.interface))) == 0
    error_message = "There is no way to the internet: what is missing here is out of reach."
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "S3 by a gateway, which costs nothing."
  }
  assert {
    condition     = alltrue([for subnet in values(aws_subnet.private) : subnet.map_public_ip_on_launch != true])
    error_message = "No node has a public address."
  }
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default group is closed."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.from_port == 443 && aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.40.0.0/16"
    error_message = "Endpoints hear HTTPS from the VPC alone."
  }
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL"
    error_message = "Flows are logged."
  }
}

run "a_subnet_a_zone_in_the_order_of_the_names" {
  module {
    source = "./modules/network"
  }
  variables {
    zones = 2
  }

  assert {
    condition     = aws_subnet.private["eu-west-1a"].cidr_block == "10.40.0.0/20" && aws_subnet.private["eu-west-1b"].cidr_block == "10.40.16.0/20"
    error_message = "Sixteenths of the VPC."
  }
  assert {
    condition     = output.network.subnet_ids == [aws_subnet.private["eu-west-1a"].id, aws_subnet.private["eu-west-1b"].id]
    error_message = "In the order of the zones."
  }
}

run "four_zones_are_refused" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    zones = 4
  }

  expect_failures = [var.zones]
}
