variable "prefix" {
  description = "First part of every name, NAME-ENVIRONMENT."
  type        = string
}

variable "region" {
  description = "Region of the endpoints."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC; each zone takes a sixteenth."
  type        = string
  default     = "10.40.0.0/16"
}

variable "zones" {
  description = "Zones with a private subnet. Each has its own interface endpoints, which are paid by the hour."
  type        = number
  default     = 1

  validation {
    condition     = var.zones >= 1 && var.zones <= 3
    error_message = "One to three zones."
  }
}

variable "interface_endpoints" {
  description = "Services of AWS that are reached inside the VPC, beside S3."
  type        = set(string)
  default = [
    "kinesis-streams", "kms", "sts", "logs", "monitoring",
    # Session Manager, which stands in for port 22.
    "ssm", "ssmmessages", "ec2messages",
  ]
}

variable "data_buckets" {
  description = "ARNs of the buckets that may be reached through the endpoint of S3."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts the log of flows."
  type        = string
}

variable "log_days" {
  description = "Days that the log of flows is kept."
  type        = number
  default     = 365
}
