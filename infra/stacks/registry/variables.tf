variable "environment" {
  description = "The environment: dev, staging or prod."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "The environment is dev, staging or prod."
  }
}

variable "region" {
  description = "The AWS region, such as us-east-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region is written as in us-east-1."
  }
}

variable "tags" {
  description = "Tags of everything, besides those that say where it comes from."
  type        = map(string)
  default     = {}
}

variable "allow_removal" {
  description = "Whether the images may be destroyed with their repository; bootstrap.sh sets it when it destroys."
  type        = bool
  default     = false
}

variable "architecture" {
  description = "What the tasks run on: ARM64, which costs a fifth less, or X86_64. The same as in the server stack."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "The architecture is ARM64 or X86_64."
  }
}
