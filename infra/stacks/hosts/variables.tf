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
  description = "Addresses of the machines' own network."
  type        = string
  default     = "10.1.0.0/16"
}

variable "ingress" {
  description = "Who may connect to the machines, and on which ports: nobody by default."
  type = object({
    cidrs = optional(list(string))
    ports = optional(list(number))
  })
  default = {}
}

variable "service_url" {
  description = "Where the server is reached, when it has a domain."
  type        = string
  default     = null
}
