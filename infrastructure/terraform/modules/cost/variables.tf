variable "prefix" {
  description = "First part of every name, NAME-ENVIRONMENT."
  type        = string
}

variable "monthly_budget_usd" {
  description = "What the environment may cost a month."
  type        = number

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "A budget is more than 0 dollars."
  }
}

variable "environment" {
  description = "Value of the tag `environment`, whose cost counts."
  type        = string
}

variable "alarm_topic_arn" {
  description = "Topic that hears of it."
  type        = string
}

variable "alarm_email" {
  description = "Address that hears of it beside the topic; null for none."
  type        = string
  default     = null
}
