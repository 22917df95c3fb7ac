variable "prefix" {
  description = "First part of every name, NAME-ENVIRONMENT."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts what the streams hold."
  type        = string
}

variable "shards" {
  description = "Shards of each stream by type, or null for streams on demand."
  type        = map(number)
  default     = null

  validation {
    condition     = var.shards == null ? true : toset(keys(var.shards)) == toset(["trade", "quote", "book", "bar"])
    error_message = "Name the shards of all four types: trade, quote, book, bar."
  }
}

variable "retention_hours" {
  description = "How long a record can be read: longer than the longest stop of the stream."
  type        = number
  default     = 168

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "Kinesis keeps records for 24 to 8760 hours."
  }
}

variable "kafka" {
  description = "Where MSK's brokers stand, and how many of what size; null for no MSK."
  type = object({
    vpc_id        = string
    vpc_cidr      = string
    subnet_ids    = list(string)
    instance_type = optional(string, "kafka.m7g.large")
    volume_gib    = optional(number, 100)
    version       = optional(string, "3.9.x")
  })
  default = null
}
