variable "name" {
  description = "Prefix of all resource names."
  type        = string
}

variable "cidr" {
  description = "The address block of the machines' network."
  type        = string
  default     = "10.1.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.cidr))
    error_message = "The network must be a block such as 10.1.0.0/16."
  }
}

variable "service_url" {
  description = "The URL of the server that gets the readings."
  type        = string

  validation {
    # The URL becomes part of scripts.
    condition     = can(regex("^https?://[A-Za-z0-9.:-]+$", var.service_url))
    error_message = "The URL must be http:// or https:// and a host name, without a path."
  }
}

variable "hosts" {
  description = "The machines by name: the system (amazon-linux, ubuntu, rhel, windows), a type if not the smallest, and the seconds between two readings."
  type = map(object({
    system           = string
    instance_type    = optional(string)
    interval_seconds = optional(number, 10)
  }))
  default = {}

  validation {
    condition     = alltrue([for host in var.hosts : contains(["amazon-linux", "ubuntu", "rhel", "windows"], host.system)])
    error_message = "The system must be amazon-linux, ubuntu, rhel or windows."
  }
  validation {
    condition     = alltrue([for name in keys(var.hosts) : can(regex("^[a-z0-9-]{1,32}$", name))])
    error_message = "The name of a machine must have 1 to 32 lower-case letters, digits and hyphens."
  }
  validation {
    condition     = alltrue([for host in var.hosts : host.interval_seconds >= 1 && floor(host.interval_seconds) == host.interval_seconds])
    error_message = "The interval between two readings must be a whole number of seconds, at least 1."
  }
}

variable "ingress" {
  description = "The address blocks that may connect to the machines, by port. None by default, because Session Manager needs no port. Never the whole internet."
  type = object({
    cidrs = optional(list(string), [])
    ports = optional(list(number), [])
  })
  default = {}

  validation {
    condition     = alltrue([for cidr in var.ingress.cidrs : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "An address block must be /16 or smaller: the machines are not for the whole internet."
  }
}
