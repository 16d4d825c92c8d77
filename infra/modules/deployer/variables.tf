variable "name" {
  description = "Begins the names of everything in the environment."
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
    error_message = "The repository is written OWNER/NAME; a pattern would let others in."
  }
}

variable "provider_exists" {
  description = "Whether the account has GitHub's identity provider already: there can be one only."
  type        = bool
  default     = false
}
