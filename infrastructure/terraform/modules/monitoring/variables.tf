variable "prefix" {
  description = "First part of every name, NAME-ENVIRONMENT."
  type        = string
}

variable "region" {
  type = string
}

variable "environment" {
  description = "Value of the dimension `environment` of our own metrics."
  type        = string
}

variable "cluster_id" {
  type = string
}

variable "stream_names" {
  description = "Kinesis streams by type of event."
  type        = map(string)
}

variable "monthly_budget_usd" {
  description = "What the environment may cost a month."
  type        = number
}

variable "alarm_email" {
  description = "Address that hears of alarms; null for none. It has to confirm, by a mail of AWS's."
  type        = string
  default     = null
}

variable "stream_expected" {
  description = "The stream runs always: where its metrics are absent, that is an alarm."
  type        = bool
  default     = true
}

variable "log_days" {
  description = "Days that logs are kept in CloudWatch."
  type        = number
  default     = 365
}

variable "thresholds" {
  description = "When an alarm is raised."
  type = object({
    cpu_percent         = optional(number, 80)
    memory_percent      = optional(number, 85)
    lag_ms              = optional(number, 300000)
    freshness_s         = optional(number, 600)
    quarantined_percent = optional(number, 5)
    idle_s              = optional(number, 14400)
  })
  default = {}
}
