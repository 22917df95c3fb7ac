variable "region" {
  description = "Region of AWS."
  type        = string
}

variable "environment" {
  description = "dev, staging or prod."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment is dev, staging or prod."
  }
}

variable "name" {
  description = "First part of every name."
  type        = string
  default     = "marketlake"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,15}$", var.name))
    error_message = "name is 2 to 16 lower-case letters and digits: names of buckets hold no more."
  }
}

variable "tags" {
  description = "Tags of everything, beside project and environment."
  type        = map(string)

  validation {
    condition     = alltrue([for tag in ["owner", "cost-center"] : contains(keys(var.tags), tag)])
    error_message = "tags must hold owner and cost-center: what nobody owns nobody turns off."
  }
}

variable "emulated" {
  description = "An emulator answers for AWS: leave out what it cannot hold."
  type        = bool
  default     = false
}

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
