variable "protected" {
  description = "Refuse any plan that would destroy or replace a bucket, a key or a stream."
  type        = bool
}

variable "force_destroy" {
  description = "Let buckets be deleted with what they hold. Only on the way to destroying them."
  type        = bool
  default     = false
}

variable "shards" {
  description = "Shards of each stream by type; null for streams on demand."
  type        = map(number)
  default     = null
}

variable "retention_hours" {
  description = "How long records can be read from the streams."
  type        = number
  default     = 168
}

variable "bronze_infrequent_days" {
  description = "Days after which bronze data files move to infrequent access."
  type        = number
  default     = 30
}

variable "log_days" {
  description = "Days that logs are kept in their bucket."
  type        = number
  default     = 90
}

variable "kafka" {
  description = "MSK beside Kinesis. It brings the VPC into this state, since it must outlive clusters too."
  type        = bool
  default     = false
}
