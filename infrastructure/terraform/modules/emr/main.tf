# The cluster: a master, core nodes on demand, task nodes that come and go.

locals {
  groups  = var.cluster_mode == "groups"
  fleets  = var.cluster_mode == "fleets"
  managed = var.scaling == "managed"

  emr_tag = { "for-use-with-amazon-emr-managed-policies" = "true" }
}

resource "aws_emr_cluster" "this" {
  name          = var.prefix
  release_label = var.release_label
  applications  = var.applications

  configurations_json    = file(var.configurations_file)
  security_configuration = aws_emr_security_configuration.this.name
  service_role           = var.roles.service
  autoscaling_role       = local.managed ? null : var.roles.scaling

  log_uri                           = var.log_uri
  log_encryption_kms_key_id         = var.kms_key_arn
  step_concurrency_level            = var.step_concurrency
  termination_protection            = var.termination_protection
  keep_job_flow_alive_when_no_steps = true
  ebs_root_volume_size              = 40

  # No key pair: Session Manager is the way in, and port 22 is closed.
  ec2_attributes {
    subnet_id                         = local.groups ? var.network.subnet_ids[0] : null
    subnet_ids                        = local.fleets ? var.network.subnet_ids : null
    instance_profile                  = var.roles.instance_profile
    emr_managed_master_security_group = aws_security_group.master.id
    emr_managed_slave_security_group  = aws_security_group.node.id
    service_access_security_group     = aws_security_group.service.id
  }

  dynamic "master_instance_group" {
    for_each = local.groups ? [1] : []
    content {
      name           = "master"
      instance_type  = var.nodes.master_type
      instance_count = 1
      ebs_config {
        type                 = "gp3"
        size                 = var.nodes.disk_gib
        volumes_per_instance = 1
      }
    }
  }

  dynamic "core_instance_group" {
    for_each = local.groups ? [1] : []
    content {
      name               = "core"
      instance_type      = var.nodes.core_type
      instance_count     = var.nodes.core_count
      autoscaling_policy = local.custom_on_core ? local.policy_json : null
      ebs_config {
        type                 = "gp3"
        size                 = var.nodes.disk_gib
        volumes_per_instance = 1
      }
    }
  }

  dynamic "master_instance_fleet" {
    for_each = local.fleets ? [1] : []
    content {
      name                      = "master"
      target_on_demand_capacity = 1
      instance_type_configs {
        instance_type = var.nodes.master_type
        ebs_config {
          type                 = "gp3"
          size                 = var.nodes.disk_gib
          volumes_per_instance = 1
        }
      }
    }
  }

  dynamic "core_instance_fleet" {
    for_each = local.fleets ? [1] : []
    content {
      name                      = "core"
      target_on_demand_capacity = var.nodes.core_count
      instance_type_configs {
        instance_type     = var.nodes.core_type
        weighted_capacity = 1
        ebs_config {
          type                 = "gp3"
          size                 = var.nodes.disk_gib
          volumes_per_instance = 1
        }
      }
    }
  }

  dynamic "bootstrap_action" {
    for_each = var.bootstrap_actions
    content {
      name = bootstrap_action.value.name
      path = bootstrap_action.value.path
      args = bootstrap_action.value.args
    }
  }

  dynamic "auto_termination_policy" {
    for_each = var.auto_termination_idle_s == null ? [] : [var.auto_termination_idle_s]
    content {
      idle_timeout = auto_termination_policy.value
    }
  }

  tags = local.emr_tag

  # EMR asks for the service's rules, adds those that it misses, and AWS refuses ours after that.
  depends_on = [
    aws_vpc_security_group_egress_rule.vpc,
    aws_vpc_security_group_egress_rule.s3,
    aws_vpc_security_group_ingress_rule.service,
    aws_vpc_security_group_egress_rule.service,
  ]

  lifecycle {
    # Steps are submitted beside Terraform, and scaling sets the number of core nodes.
    ignore_changes = [step, core_instance_group[0].instance_count]

    precondition {
      condition     = !(local.fleets && !local.managed)
      error_message = "The custom policy belongs to groups: fleets are scaled by EMR (scaling = \"managed\")."
    }
  }
}
