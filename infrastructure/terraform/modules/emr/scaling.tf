locals {
  # The custom policy may hold for one group only: two groups that hear the same alarm grow twice.
  custom_on_core = local.groups && !local.managed && var.scaling_policy.group == "core"
  custom_on_task = local.groups && !local.managed && var.scaling_policy.group == "task"

  policy_min = var.scaling_policy.group == "core" ? var.nodes.core_count : 0
  policy_json = jsonencode({
    Constraints = { MinCapacity = local.policy_min, MaxCapacity = var.scaling_policy.max }
    Rules = [
      {
        Name        = "out"
        Description = "Add a node: less YARN memory is free than ${var.scaling_policy.out_below_percent} %"
        Action = { SimpleScalingPolicyConfiguration = {
          AdjustmentType = "CHANGE_IN_CAPACITY", ScalingAdjustment = var.scaling_policy.step, CoolDown = var.scaling_policy.cooldown_s
        } }
        Trigger = { CloudWatchAlarmDefinition = merge(local.alarm, {
          ComparisonOperator = "LESS_THAN", Threshold = var.scaling_policy.out_below_percent
        }) }
      },
      {
        Name        = "in"
        Description = "Remove a node: more YARN memory is free than ${var.scaling_policy.in_above_percent} %"
        Action = { SimpleScalingPolicyConfiguration = {
          AdjustmentType = "CHANGE_IN_CAPACITY", ScalingAdjustment = -var.scaling_policy.step, CoolDown = var.scaling_policy.cooldown_s
        } }
        Trigger = { CloudWatchAlarmDefinition = merge(local.alarm, {
          ComparisonOperator = "GREATER_THAN", Threshold = var.scaling_policy.in_above_percent
        }) }
      },
    ]
  })

  alarm = {
    EvaluationPeriods = 1
    MetricName        = "YARNMemoryAvailablePercentage"
    Namespace         = "AWS/ElasticMapReduce"
    Period            = var.scaling_policy.period_s
    Statistic         = "AVERAGE"
    Unit              = "PERCENT"
  }
}

resource "aws_emr_managed_scaling_policy" "this" {
  count      = local.managed ? 1 : 0
  cluster_id = aws_emr_cluster.this.id

  # Core nodes stay as they are, so all that comes and goes are task nodes; on spot none of those is
  # on demand.
  compute_limits {
    unit_type                       = local.groups ? "Instances" : "InstanceFleetUnits"
    minimum_capacity_units          = var.nodes.core_count
    maximum_capacity_units          = var.nodes.core_count + var.nodes.task_max
    maximum_core_capacity_units     = var.nodes.core_count
    maximum_ondemand_capacity_units = var.task_spot ? var.nodes.core_count : var.nodes.core_count + var.nodes.task_max
  }
}
