variable "prefix" {
  description = "First part of every name, NAME-ENVIRONMENT."
  type        = string
}

variable "emulated" {
  description = "Leave out what locks emulators out: bucket policies that ask for TLS."
  type        = bool
  default     = false
}

variable "force_destroy" {
  description = "Delete buckets with what they hold. Only to be set on the way to destroying them."
  type        = bool
  default     = false
}

variable "lake_path" {
  description = "Path of the lake in its bucket, without slashes at its ends."
  type        = string
  default     = "lake"
}

variable "bronze_infrequent_days" {
  description = "Days after which bronze data files move to infrequent access."
  type        = number
  default     = 30

  validation {
    condition     = var.bronze_infrequent_days >= 30
    error_message = "S3 takes no object to infrequent access before 30 days."
  }
}

variable "bronze_archive_days" {
  description = "Days after which bronze data files move to Glacier Instant Retrieval: still read at once."
  type        = number
  default     = 180
}

variable "noncurrent_days" {
  description = "Days that replaced or removed versions of objects are kept."
  type        = number
  default     = 7
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 90
}

variable "region" {
  description = "Region of the key, whose log groups it may encrypt."
  type        = string
}
