locals {
  widgets = [
    { title = "Age of the newest row, s", metrics = [[local.ours, "table_freshness_seconds", "environment", var.environment]], stat = "Maximum" },
    { title = "Age of the newest record read, ms", metrics = [for stream in values(var.stream_names) : ["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", stream]], stat = "Maximum" },
    { title = "Messages read, and refused", metrics = [[local.ours, "messages_read_total", "environment", var.environment], [local.ours, "quarantined_messages_total", "environment", var.environment]], stat = "Sum" },
    { title = "Seconds of the last batch", metrics = [[local.ours, "last_batch_seconds", "environment", var.environment]], stat = "Maximum" },
    { title = "CPU and memory of nodes, %", metrics = [[local.ours, "cpu_usage_active", "environment", var.environment], [local.ours, "mem_used_percent", "environment", var.environment]], stat = "Average" },
    { title = "YARN memory free, %", metrics = [["AWS/ElasticMapReduce", "YARNMemoryAvailablePercentage", "JobFlowId", var.cluster_id]], stat = "Average" },
    { title = "Nodes", metrics = [["AWS/ElasticMapReduce", "CoreNodesRunning", "JobFlowId", var.cluster_id], ["AWS/ElasticMapReduce", "TaskNodesRunning", "JobFlowId", var.cluster_id]], stat = "Maximum" },
    { title = "Applications: running, pending, failed", metrics = [for metric in ["AppsRunning", "AppsPending", "AppsFailed"] : ["AWS/ElasticMapReduce", metric, "JobFlowId", var.cluster_id]], stat = "Maximum" },
    { title = "Bytes into the streams", metrics = [for stream in values(var.stream_names) : ["AWS/Kinesis", "IncomingBytes", "StreamName", stream]], stat = "Sum" },
    { title = "Reads and writes refused for their rate", metrics = [for pair in setproduct(values(var.stream_names), ["ReadProvisionedThroughputExceeded", "WriteProvisionedThroughputExceeded"]) : ["AWS/Kinesis", pair[1], "StreamName", pair[0]]], stat = "Sum" },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.prefix
  dashboard_body = jsonencode({
    widgets = [for index, widget in local.widgets : {
      type   = "metric"
      x      = index % 2 * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = widget.title
        region  = var.region
        metrics = widget.metrics
        stat    = widget.stat
        period  = 60
      }
    }]
  })
}
