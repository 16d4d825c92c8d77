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

variable "hosts" {
  description = "The machines by name; modules/hosts explains the fields."
  type = map(object({
    system           = string
    instance_type    = optional(string)
    interval_seconds = optional(number)
  }))
  default = {}
}

variable "network_cidr" {
  description = "The address block of the machines' network."
  type        = string
  default     = "10.1.0.0/16"
}

variable "ingress" {
  description = "The address blocks that may connect to the machines, by port. None by default."
  type = object({
    cidrs = optional(list(string))
    ports = optional(list(number))
  })
  default = {}
}

variable "service_url" {
  description = "The URL of the server, if it has a domain."
  type        = string
  default     = null
}
