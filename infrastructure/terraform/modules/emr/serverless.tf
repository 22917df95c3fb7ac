resource "aws_emrserverless_application" "batch" {
  count         = var.serverless ? 1 : 0
  name          = "${var.prefix}-batch"
  type          = "spark"
  release_label = var.release_label

  maximum_capacity {
    cpu    = "32 vCPU"
    memory = "128 GB"
  }

  auto_start_configuration {
    enabled = true
  }

  auto_stop_configuration {
    enabled              = true
    idle_timeout_minutes = 15
  }

  network_configuration {
    subnet_ids         = var.network.subnet_ids
    security_group_ids = [aws_security_group.node.id]
  }
}
