output "service_role_arn" {
  value = aws_iam_role.service.arn
}

output "service_role_name" {
  value = aws_iam_role.service.name
}

output "scaling_role_arn" {
  value = aws_iam_role.scaling.arn
}

output "node_role_arn" {
  value = aws_iam_role.node.arn
}

output "node_role_name" {
  value = aws_iam_role.node.name
}

output "instance_profile_arn" {
  value = aws_iam_instance_profile.node.arn
}

output "submit_policy_arn" {
  value = aws_iam_policy.submit.arn
}

output "read_policy_arn" {
  value = aws_iam_policy.read.arn
}

output "operate_policy_arn" {
  value = aws_iam_policy.operate.arn
}
