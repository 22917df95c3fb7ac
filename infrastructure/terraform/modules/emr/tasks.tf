# Nodes without HDFS: they may vanish, so no application master runs there.

resource "aws_emr_instance_group" "task" {
  count          = local.groups && var.nodes.task_max > 0 ? 1 : 0
  cluster_id     = aws_emr_cluster.this.id
  name           = "task"
  instance_type  = var.nodes.task_type
  instance_count = 0
  bid_price      = var.task_spot ? var.task_spot_max_price_usd : null

  autoscaling_policy = local.custom_on_task ? local.policy_json : null

  ebs_config {
    type                 = "gp3"
    size                 = var.nodes.disk_gib
    volumes_per_instance = 1
  }

  lifecycle {
    ignore_changes = [instance_count]
  }
}

resource "aws_emr_instance_group" "gpu" {
  count          = local.groups && var.gpu_task_group != null ? 1 : 0
  cluster_id     = aws_emr_cluster.this.id
  name           = "gpu"
  instance_type  = var.gpu_task_group.instance_type
  instance_count = var.gpu_task_group.count

  ebs_config {
    type                 = "gp3"
    size                 = var.nodes.disk_gib
    volumes_per_instance = 1
  }
}

resource "aws_emr_instance_fleet" "task" {
  count                     = local.fleets && var.nodes.task_max > 0 ? 1 : 0
  cluster_id                = aws_emr_cluster.this.id
  name                      = "task"
  target_on_demand_capacity = var.task_spot ? 0 : 1
  target_spot_capacity      = var.task_spot ? 1 : 0

  dynamic "instance_type_configs" {
    for_each = toset(var.nodes.task_fleet_types)
    content {
      instance_type                              = instance_type_configs.value
      weighted_capacity                          = 1
      bid_price_as_percentage_of_on_demand_price = 100
      ebs_config {
        type                 = "gp3"
        size                 = var.nodes.disk_gib
        volumes_per_instance = 1
      }
    }
  }

  dynamic "launch_specifications" {
    for_each = var.task_spot ? [1] : []
    content {
      # Of several markets the one that is interrupted least, among the cheap ones.
      spot_specification {
        allocation_strategy      = "price-capacity-optimized"
        timeout_action           = "SWITCH_TO_ON_DEMAND"
        timeout_duration_minutes = 10
      }
    }
  }

  lifecycle {
    ignore_changes = [target_on_demand_capacity, target_spot_capacity]
  }
}
