mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  prefix              = "marketlake-dev"
  configurations_file = "./tests/mocks/configurations.json"
  network             = { vpc_id = "vpc-1", vpc_cidr = "10.40.0.0/16", subnet_ids = ["subnet-1", "subnet-2"], s3_prefix_list_id = "pl-1" }
  roles = {
    service          = "arn:aws:iam::123456789012:role/service"
    scaling          = "arn:aws:iam::123456789012:role/scaling"
    instance_profile = "arn:aws:iam::123456789012:instance-profile/node"
  }
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_uri     = "s3://logs/emr/"
}

run "by_default_groups_that_emr_scales" {
  command = plan
  module {
    source = "./modules/emr"
  }

  assert {
    condition     = aws_emr_cluster.this.release_label == "emr-spark-8.0.0"
    error_message = "The release that production has."
  }
  assert {
    condition     = one(aws_emr_cluster.this.master_instance_group).instance_type == "m5.xlarge" && one(aws_emr_cluster.this.core_instance_group).instance_type == "m5.large" && one(aws_emr_cluster.this.core_instance_group).instance_count == 2
    error_message = "A master m5.xlarge, two core m5.large."
  }
  assert {
    condition     = coalesce(one(aws_emr_cluster.this.core_instance_group).bid_price, "none") == "none" && aws_emr_instance_group.task[0].bid_price == "0.096"
    error_message = "Core nodes on demand, task nodes on spot."
  }
  assert {
    condition     = one(aws_emr_managed_scaling_policy.this[0].compute_limits).maximum_capacity_units == 10 && one(aws_emr_managed_scaling_policy.this[0].compute_limits).maximum_ondemand_capacity_units == 2
    error_message = "Two core nodes and up to eight more, none of those on demand."
  }
  assert {
    condition     = aws_emr_cluster.this.autoscaling_role == null && coalesce(aws_emr_instance_group.task[0].autoscaling_policy, "none") == "none"
    error_message = "One of the two scales, not both."
  }
  assert {
    condition     = one(aws_emr_cluster.this.ec2_attributes).key_name == null
    error_message = "No key pair: the way in is Session Manager."
  }
  assert {
    condition     = length(aws_emr_cluster.this.auto_termination_policy) == 0 && length(aws_emr_instance_group.gpu) == 0 && output.serverless_application_id == null
    error_message = "Nothing that was not asked for."
  }
}

run "at_rest_and_the_metadata_service" {
  command = plan
  module {
    source = "./modules/emr"
  }

  assert {
    condition     = jsondecode(aws_emr_security_configuration.this.configuration).InstanceMetadataServiceConfiguration == { MinimumInstanceMetadataServiceVersion = 2, HttpPutResponseHopLimit = 1 }
    error_message = "IMDSv2, and not through a container."
  }
  assert {
    condition     = jsondecode(aws_emr_security_configuration.this.configuration).EncryptionConfiguration.AtRestEncryptionConfiguration.LocalDiskEncryptionConfiguration.EnableEbsEncryption
    error_message = "Disks are encrypted, the root's too."
  }
  assert {
    condition     = !jsondecode(aws_emr_security_configuration.this.configuration).EncryptionConfiguration.EnableInTransitEncryption
    error_message = "EMR's own encryption between nodes needs certificates."
  }
}

run "between_nodes_with_certificates" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    certificates_archive = "s3://artifacts/certificates/0.zip"
  }

  assert {
    condition     = jsondecode(aws_emr_security_configuration.this.configuration).EncryptionConfiguration.InTransitEncryptionConfiguration.TLSCertificateConfiguration.S3Object == "s3://artifacts/certificates/0.zip"
    error_message = "Encrypted with what is in the archive."
  }
}

run "other_certificates_are_another_cluster" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    certificates_archive = "s3://artifacts/certificates/1.zip"
  }

  # A cluster keeps the security configuration it began with: other nodes would have other certificates.
  assert {
    condition     = aws_emr_cluster.this.security_configuration != run.between_nodes_with_certificates.security_configuration
    error_message = "Other certificates are another cluster."
  }
}

run "no_port_22_and_nobody_from_outside" {
  command = plan
  module {
    source = "./modules/emr"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.service.from_port == 9443 && aws_vpc_security_group_ingress_rule.service.to_port == 9443 && aws_vpc_security_group_ingress_rule.service.cidr_ipv4 == null
    error_message = "The one door that we open is EMR's own, from the master."
  }
  assert {
    condition     = alltrue([for rule in concat(values(aws_vpc_security_group_egress_rule.vpc), values(aws_vpc_security_group_egress_rule.s3)) : rule.cidr_ipv4 != "0.0.0.0/0"])
    error_message = "Nodes reach the VPC and S3, and nothing else."
  }
}

run "the_custom_policy_of_the_requirements" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    scaling = "custom"
  }

  assert {
    condition     = length(aws_emr_managed_scaling_policy.this) == 0 && aws_emr_cluster.this.autoscaling_role == var.roles.scaling
    error_message = "One of the two scales, not both."
  }
  assert {
    condition = {
      for rule in jsondecode(aws_emr_instance_group.task[0].autoscaling_policy).Rules : rule.Name =>
      "${rule.Trigger.CloudWatchAlarmDefinition.MetricName} ${rule.Trigger.CloudWatchAlarmDefinition.ComparisonOperator} ${rule.Trigger.CloudWatchAlarmDefinition.Threshold}"
      } == {
      out = "YARNMemoryAvailablePercentage LESS_THAN 25"
      in  = "YARNMemoryAvailablePercentage GREATER_THAN 75"
    }
    error_message = "Out at under 25 % free, in at over 75 % free."
  }
  assert {
    condition     = jsondecode(aws_emr_instance_group.task[0].autoscaling_policy).Constraints == { MinCapacity = 0, MaxCapacity = 8 }
    error_message = "Within limits."
  }
  assert {
    condition     = coalesce(one(aws_emr_cluster.this.core_instance_group).autoscaling_policy, "none") == "none"
    error_message = "Two groups that hear one alarm would grow twice."
  }
}

run "the_custom_policy_on_core_nodes" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    scaling        = "custom"
    scaling_policy = { group = "core", max = 6 }
  }

  assert {
    condition     = jsondecode(one(aws_emr_cluster.this.core_instance_group).autoscaling_policy).Constraints == { MinCapacity = 2, MaxCapacity = 6 }
    error_message = "Never fewer core nodes than the cluster began with."
  }
}

run "fleets_in_all_zones" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    cluster_mode = "fleets"
  }

  assert {
    condition     = length(aws_emr_cluster.this.master_instance_group) == 0 && one(aws_emr_cluster.this.core_instance_fleet).target_on_demand_capacity == 2 && one(aws_emr_cluster.this.core_instance_fleet).target_spot_capacity == null
    error_message = "Core nodes on demand here too."
  }
  assert {
    condition     = one(aws_emr_cluster.this.ec2_attributes).subnet_ids == toset(["subnet-1", "subnet-2"])
    error_message = "A fleet chooses among the zones."
  }
  assert {
    condition     = length(aws_emr_instance_fleet.task[0].instance_type_configs) == 5 && one(aws_emr_managed_scaling_policy.this[0].compute_limits).unit_type == "InstanceFleetUnits"
    error_message = "Several types, scaled in units."
  }
}

run "fleets_do_not_know_the_custom_policy" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    cluster_mode = "fleets"
    scaling      = "custom"
  }

  expect_failures = [aws_emr_cluster.this]
}

run "all_options" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    gpu_task_group          = { instance_type = "g6.xlarge" }
    serverless              = true
    auto_termination_idle_s = 3600
    task_spot               = false
    bootstrap_actions       = [{ name = "a.sh", path = "s3://x/a.sh", args = ["1"] }, { name = "b.sh", path = "s3://x/b.sh" }]
  }

  assert {
    condition     = aws_emr_instance_group.gpu[0].instance_type == "g6.xlarge" && coalesce(aws_emr_instance_group.gpu[0].bid_price, "none") == "none"
    error_message = "Nodes with a GPU, on demand."
  }
  assert {
    condition     = aws_emrserverless_application.batch[0].type == "spark" && one(aws_emrserverless_application.batch[0].auto_stop_configuration).enabled
    error_message = "An application that stops by itself."
  }
  assert {
    condition     = one(aws_emr_cluster.this.auto_termination_policy).idle_timeout == 3600
    error_message = "It ends after an hour of nothing."
  }
  assert {
    condition     = coalesce(aws_emr_instance_group.task[0].bid_price, "none") == "none" && one(aws_emr_managed_scaling_policy.this[0].compute_limits).maximum_ondemand_capacity_units == 10
    error_message = "Task nodes on demand."
  }
  assert {
    condition     = [for action in aws_emr_cluster.this.bootstrap_action : action.name] == ["a.sh", "b.sh"]
    error_message = "In their order."
  }
}

run "thresholds_that_would_swing_are_refused" {
  command = plan
  module {
    source = "./modules/emr"
  }
  variables {
    scaling_policy = { out_below_percent = 75, in_above_percent = 75 }
  }

  expect_failures = [var.scaling_policy]
}
