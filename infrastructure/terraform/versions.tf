# For `terraform test` alone, which tries every module from here with one provider: nothing is
# deployed from this folder, but from envs/ENVIRONMENT/data and envs/ENVIRONMENT/cluster.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
