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

variable "source_code" {
  description = "Where a push comes from; modules/delivery explains the fields. Without it there is no pipeline."
  type = object({
    kind           = string
    repository     = string
    branch         = optional(string)
    connection_arn = optional(string)
  })
  default = null
}

variable "architecture" {
  description = "What the tasks run on: ARM64 or X86_64. The same as in the other stacks."
  type        = string
  default     = "ARM64"
}

variable "service_url" {
  description = "Where the server is reached, when it has a domain."
  type        = string
  default     = null
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflows may deploy this environment without a stored key. Without it, none may."
  type        = string
  default     = null
}

variable "github_provider_exists" {
  description = "Whether the account has GitHub's identity provider already: there can be one only."
  type        = bool
  default     = false
}
