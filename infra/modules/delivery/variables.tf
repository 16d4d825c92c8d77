variable "name" {
  description = "The name of the environment's cluster, service, roles and repository, and of the pipeline."
  type        = string
}

variable "environment" {
  description = "The environment, used in the name of the log group and in the approval of a deployment."
  type        = string
}

variable "source_code" {
  description = <<-END
    Where a push comes from: `kind` github with OWNER/NAME and the ARN of a connection (made once in the console, since GitHub
    asks its owner), or codecommit with the name of a repository.
  END
  type = object({
    kind           = string
    repository     = string
    branch         = optional(string, "main")
    connection_arn = optional(string)
  })

  validation {
    condition     = contains(["github", "codecommit"], var.source_code.kind)
    error_message = "The source must be github or codecommit."
  }
  validation {
    condition     = var.source_code.kind != "github" || (var.source_code.connection_arn != null && can(regex("^[^/]+/[^/]+$", var.source_code.repository)))
    error_message = "A source on GitHub needs a repository as OWNER/NAME, and the ARN of a connection."
  }
}

variable "service_url" {
  description = "The URL at which the deployed server is tested."
  type        = string

  validation {
    condition     = can(regex("^https?://", var.service_url))
    error_message = "The URL must begin with http:// or https://"
  }
}

variable "approval" {
  description = "Whether a person has to approve a deployment."
  type        = bool
}

variable "architecture" {
  description = "The processor architecture of the tasks, and of the machine that builds the image: ARM64 or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "The architecture must be ARM64 or X86_64."
  }
}
