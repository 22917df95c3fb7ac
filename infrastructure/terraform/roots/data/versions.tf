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
