# What every root has, linked into each: the provider, whose things they are, and what they are called.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

# Endpoints and credentials come from the environment, as the AWS tools find them.
provider "aws" {
  region            = var.region
  max_retries       = var.emulated ? 2 : 25
  s3_use_path_style = var.emulated

  default_tags {
    tags = local.tags
  }
}

locals {
  prefix = "${var.name}-${var.environment}"
  tags   = merge(var.tags, { project = var.name, environment = var.environment })
}

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
