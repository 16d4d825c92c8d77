terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }

  # The other settings are in environments/ENVIRONMENT.s3.tfbackend and on the command line.
  backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = merge({
      Project     = "fieldstation"
      Environment = var.environment
      Stack       = "hosts"
      ManagedBy   = "terraform"
    }, var.tags)
  }
}

locals {
  name = "fieldstation-${var.environment}"
}
