variable "name" {
  description = "Prefix of all resource names in the environment."
  type        = string
}

variable "environment" {
  description = "The environment, here and on GitHub."
  type        = string
}

variable "repository" {
  description = "OWNER/NAME of the repository whose workflows may deploy."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "The repository must have the form OWNER/NAME; a pattern would admit other repositories."
  }
}

variable "provider_exists" {
  description = "Whether the account already has GitHub's identity provider: an account can have only one."
  type        = bool
  default     = false
}
