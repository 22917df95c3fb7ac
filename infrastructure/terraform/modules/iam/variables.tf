variable "prefix" {
  description = "First part of every name, NAME-ENVIRONMENT."
  type        = string
}

variable "region" {
  type = string
}

variable "lake_bucket" {
  type = string
}

variable "lake_path" {
  description = "Path of the lake in its bucket."
  type        = string
}

variable "artifacts_bucket" {
  type = string
}

variable "logs_bucket" {
  type = string
}

variable "kms_key_arns" {
  description = "Keys of the data and of the nodes' disks."
  type        = list(string)
}

variable "stream_arns" {
  description = "Kinesis streams by type of event."
  type        = map(string)
}

variable "fan_out" {
  description = "Let jobs read the streams by consumers of their own, whose names begin with the prefix."
  type        = bool
  default     = false
}

variable "kafka_arn" {
  description = "MSK cluster that is read; null without."
  type        = string
  default     = null
}

variable "glue_catalog" {
  description = "Let jobs use the Glue catalog, in databases whose names begin with the prefix."
  type        = bool
  default     = false
}

variable "cost_tags" {
  description = "Tags by which the policies tell our clusters from others."
  type = object({
    project     = string
    environment = string
  })
}
