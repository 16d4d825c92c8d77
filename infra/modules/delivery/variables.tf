variable "name" {
  description = "The name of the environment's cluster, service, roles and repository, and of the pipeline."
  type        = string
}

variable "environment" {
  description = "The environment, for the name of the log group and the question before a deployment."
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
    error_message = "The source is github or codecommit."
  }
  validation {
    condition     = var.source_code.kind != "github" || (var.source_code.connection_arn != null && can(regex("^[^/]+/[^/]+$", var.source_code.repository)))
    error_message = "GitHub takes a repository as OWNER/NAME and the ARN of a connection."
  }
}

variable "service_url" {
  description = "Where the deployed server is tested."
  type        = string

  validation {
    condition     = can(regex("^https?://", var.service_url))
    error_message = "The URL begins with http:// or https://"
  }
}

variable "approval" {
  description = "Whether somebody has to agree before a deployment."
  type        = bool
}

variable "architecture" {
  description = "What the tasks run on, and so what builds the image: ARM64 or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "The architecture is ARM64 or X86_64."
  }
}
