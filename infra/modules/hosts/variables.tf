variable "name" {
  description = "Begins the names of everything."
  type        = string
}

variable "cidr" {
  description = "Addresses of the machines' own network."
  type        = string
  default     = "10.1.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.cidr))
    error_message = "The network is a block such as 10.1.0.0/16."
  }
}

variable "service_url" {
  description = "Where readings are sent to."
  type        = string

  validation {
    # It is written into scripts.
    condition     = can(regex("^https?://[A-Za-z0-9.:-]+$", var.service_url))
    error_message = "The URL is http:// or https:// and a name, without anything after it."
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
    error_message = "A system is amazon-linux, ubuntu, rhel or windows."
  }
  validation {
    condition     = alltrue([for name in keys(var.hosts) : can(regex("^[a-z0-9-]{1,32}$", name))])
    error_message = "The name of a machine has 1 to 32 small letters, digits and hyphens."
  }
  validation {
    condition     = alltrue([for host in var.hosts : host.interval_seconds >= 1 && floor(host.interval_seconds) == host.interval_seconds])
    error_message = "There is a whole second or more between two readings."
  }
}

variable "ingress" {
  description = "Who may connect to the machines, and on which ports: nobody by default, since Session Manager needs no port. Never the whole internet."
  type = object({
    cidrs = optional(list(string), [])
    ports = optional(list(number), [])
  })
  default = {}

  validation {
    condition     = alltrue([for cidr in var.ingress.cidrs : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "Name blocks of /16 or smaller: machines are not for the whole internet."
  }
}
