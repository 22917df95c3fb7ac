# --- outputs of the data --------------------------------------------------------------------------

variable "lake_bucket" {
  type = string
}

variable "artifacts_bucket" {
  type = string
}

variable "logs_bucket" {
  type = string
}

variable "backup_bucket" {
  type = string
}

variable "kms_key_arn" {
  type = string
}

variable "lake_uri" {
  type = string

  validation {
    condition     = can(regex("^s3a://[^/]+/.+[^/]$", var.lake_uri))
    error_message = "lake_uri is s3a://BUCKET/PATH."
  }
}

variable "stream_names" {
  type = map(string)
}

variable "stream_arns" {
  type = map(string)
}

variable "fan_out" {
  description = "Rights for kinesis.fan_out_consumer, whose name must begin with NAME-ENVIRONMENT."
  type        = bool
  default     = false
}

variable "kafka_arn" {
  type    = string
  default = null
}

variable "network" {
  description = "The VPC of MSK, where there is one; null for one of the cluster's own."
  type = object({
    vpc_id            = string
    vpc_cidr          = string
    subnet_ids        = list(string)
    s3_prefix_list_id = string
  })
  default = null
}

# --- artifacts ------------------------------------------------------------------------------------

variable "environment_archive" {
  description = "s3:// address of the packed Python environment, named by its digest."
  type        = string
}

variable "application_archive" {
  description = "s3:// address of the code, named by its digest."
  type        = string
}

variable "bootstrap_prefix" {
  description = "s3:// address of the folder with the bootstrap scripts, named by its digest; no slash at its end."
  type        = string
}

variable "bootstrap_actions" {
  description = "Scripts of that folder which every node runs, in their order, with their arguments."
  type = list(object({
    name = string
    args = optional(list(string), [])
  }))
  default = []
}

variable "configurations_file" {
  description = "JSON made by `marketlake emr configurations`."
  type        = string
}

variable "certificates_archive" {
  description = "s3:// address of the certificates for encryption between nodes; null leaves that to Spark's own."
  type        = string
  default     = null
}

# --- the cluster ----------------------------------------------------------------------------------

variable "cluster_mode" {
  description = "groups or fleets."
  type        = string
  default     = "groups"
}

variable "zones" {
  description = "Zones of the VPC; more than one only matters to fleets, which choose among them."
  type        = number
  default     = 1
}

variable "nodes" {
  description = "Types and numbers of nodes; see module emr."
  type        = any
  default     = {}
}

variable "scaling" {
  description = "managed, or custom: by free YARN memory."
  type        = string
  default     = "managed"
}

variable "scaling_policy" {
  description = "Limits of the custom policy; see module emr."
  type        = any
  default     = {}
}

variable "task_spot" {
  description = "Task nodes on spot."
  type        = bool
  default     = true
}

variable "gpu_task_group" {
  description = "A group of nodes with a GPU for predictions."
  type        = bool
  default     = false
}

variable "gpu_instance_type" {
  description = "Its type: of the families g5 or g6."
  type        = string
  default     = "g5.xlarge"

  validation {
    condition     = can(regex("^g[56]\\.", var.gpu_instance_type))
    error_message = "The GPU group is of g5 or g6: the bootstrap action installs their driver."
  }
}

variable "serverless" {
  description = "An EMR Serverless application for the batch jobs."
  type        = bool
  default     = false
}

variable "auto_termination_idle_s" {
  description = "Seconds without work after which the cluster ends; null for never. A running stream is work: then the budget and the alarm on cost are what is left."
  type        = number
  default     = null
}

variable "termination_protection" {
  description = "Refuse to end the cluster by a call alone."
  type        = bool
  default     = false
}

variable "stream_expected" {
  description = "The stream runs always: its silence is an alarm."
  type        = bool
}

variable "monthly_budget_usd" {
  description = "What the environment may cost a month."
  type        = number
}

variable "alarm_email" {
  description = "Address that hears of alarms; null for none."
  type        = string
  default     = null
}
