variable "prefix" {
  description = "First part of every name, NAME-ENVIRONMENT; also the cluster's name."
  type        = string
}

variable "release_label" {
  description = "Release of EMR."
  type        = string
  default     = "emr-spark-8.0.0"
}

variable "applications" {
  description = "What EMR installs. Zeppelin is not in this release; a bootstrap action adds it."
  type        = set(string)
  default     = ["Hadoop", "Spark", "Livy", "JupyterEnterpriseGateway"]
}

variable "configurations_file" {
  description = "JSON that `marketlake emr configurations` made of the settings of the code."
  type        = string
}

variable "network" {
  description = "Where the cluster stands: the first subnet with groups, all of them with fleets."
  type = object({
    vpc_id            = string
    vpc_cidr          = string
    subnet_ids        = list(string)
    s3_prefix_list_id = string
  })
}

variable "roles" {
  description = "ARNs of the roles of the service and of scaling, and of the profile of the nodes."
  type = object({
    service          = string
    scaling          = string
    instance_profile = string
  })
}

variable "kms_key_arn" {
  description = "Key of disks, objects and logs."
  type        = string
}

variable "log_uri" {
  description = "s3:// address of a folder for EMR's logs, with a slash at its end."
  type        = string
}

variable "certificates_archive" {
  description = "s3:// address of a zip with privateKey.pem, certificateChain.pem and trustedCertificates.pem, for encryption between nodes; null leaves that to Spark's own."
  type        = string
  default     = null
}

variable "bootstrap_actions" {
  description = "Scripts that each node runs before its applications start, in their order."
  type = list(object({
    name = string
    path = string
    args = optional(list(string), [])
  }))
  default = []
}

variable "cluster_mode" {
  description = "groups: one type of instance a group; fleets: several, and the cheapest that is to be had."
  type        = string
  default     = "groups"

  validation {
    condition     = contains(["groups", "fleets"], var.cluster_mode)
    error_message = "cluster_mode is groups or fleets."
  }
}

variable "nodes" {
  description = "Types and numbers of nodes. Application masters and HDFS live on core nodes, on demand."
  type = object({
    master_type = optional(string, "m5.xlarge")
    core_type   = optional(string, "m5.large")
    core_count  = optional(number, 2)
    task_type   = optional(string, "m5.large")
    task_max    = optional(number, 8)
    disk_gib    = optional(number, 64)
    # Types that a fleet may take in place of task_type.
    task_fleet_types = optional(list(string), ["m5.large", "m5a.large", "m5d.large", "m6i.large", "m6a.large"])
  })
  default = {}

  validation {
    condition     = var.nodes.core_count >= 1 && var.nodes.task_max >= 0
    error_message = "A cluster needs a core node, and no fewer than 0 task nodes."
  }
}

variable "task_spot" {
  description = "Task nodes on spot: a third of the price, and gone at two minutes' notice."
  type        = bool
  default     = true
}

variable "task_spot_max_price_usd" {
  description = "Most that is bid for an hour of a task node: what it costs on demand."
  type        = string
  default     = "0.096"
}

variable "gpu_task_group" {
  description = "Nodes with a GPU for predictions; null for none."
  type = object({
    instance_type = optional(string, "g5.xlarge")
    count         = optional(number, 1)
  })
  default = null
}

variable "scaling" {
  description = "managed: EMR decides; custom: by the YARN memory that is free, as scaling_policy says."
  type        = string
  default     = "managed"

  validation {
    condition     = contains(["managed", "custom"], var.scaling)
    error_message = "scaling is managed or custom."
  }
}

variable "scaling_policy" {
  description = "The custom policy: when nodes are added and removed, of free YARN memory in percent."
  type = object({
    out_below_percent = optional(number, 25)
    in_above_percent  = optional(number, 75)
    step              = optional(number, 1)
    period_s          = optional(number, 300)
    cooldown_s        = optional(number, 300)
    group             = optional(string, "task")
    max               = optional(number, 8)
  })
  default = {}

  validation {
    condition     = var.scaling_policy.out_below_percent < var.scaling_policy.in_above_percent
    error_message = "Nodes would be added and removed at the same memory: out_below_percent has to be less than in_above_percent."
  }
  validation {
    condition     = contains(["task", "core"], var.scaling_policy.group)
    error_message = "scaling_policy.group is task or core."
  }
}

variable "auto_termination_idle_s" {
  description = "Seconds without work after which the cluster ends; null for never. A running stream is work."
  type        = number
  default     = null

  validation {
    condition     = var.auto_termination_idle_s == null ? true : var.auto_termination_idle_s >= 60 && var.auto_termination_idle_s <= 604800
    error_message = "EMR ends idle clusters after 60 to 604800 seconds."
  }
}

variable "termination_protection" {
  description = "Refuse to end the cluster by a call alone."
  type        = bool
  default     = false
}

variable "step_concurrency" {
  description = "Steps that run side by side: the stream, and jobs beside it."
  type        = number
  default     = 10
}

variable "serverless" {
  description = "An EMR Serverless application for the batch jobs."
  type        = bool
  default     = false
}
