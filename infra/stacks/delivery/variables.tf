variable "environment" {
  description = "The environment: dev, staging or prod."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "The environment must be dev, staging or prod."
  }
}

variable "region" {
  description = "The AWS region, such as us-east-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region must have a form like us-east-1."
  }
}

variable "tags" {
  description = "Extra tags for all resources."
  type        = map(string)
  default     = {}
}

variable "source_code" {
  description = "The source of the pipeline; modules/delivery explains the fields. Without a source there is no pipeline."
  type = object({
    kind           = string
    repository     = string
    branch         = optional(string)
    connection_arn = optional(string)
  })
  default = null
}

variable "architecture" {
  description = "The processor architecture of the tasks: ARM64 or X86_64. The same as in the other stacks."
  type        = string
  default     = "ARM64"
}

variable "service_url" {
  description = "The URL of the server, if it has a domain."
  type        = string
  default     = null
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflows may deploy this environment without a stored key. Without a value, no workflow may."
  type        = string
  default     = null
}

variable "github_provider_exists" {
  description = "Whether the account already has GitHub's identity provider: an account can have only one."
  type        = bool
  default     = false
}
