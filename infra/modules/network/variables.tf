variable "name" {
  description = "Prefix of all resource names."
  type        = string
}

variable "cidr" {
  description = "The address block of the network, /16 to /24."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.cidr)) && try(cidrhost(var.cidr, 0) == split("/", var.cidr)[0], false)
    error_message = "The network must be a block such as 10.0.0.0/16, written with its first address."
  }
  validation {
    condition     = try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 24, false)
    error_message = "The network must be between /16 and /24: AWS accepts no larger block, and a smaller one has no room for the subnets."
  }
}

variable "zone_count" {
  description = "The number of availability zones: 2 or 3. A load balancer refuses a single zone."
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "The number of availability zones must be 2 or 3."
  }
}

variable "nat" {
  description = <<-END
    How tasks reach out: `none` puts them in the public subnets with addresses of their own (3.65 USD a month each) behind their
    security group; `one` and `per_zone` put them in the private subnets behind NAT gateways (36.50 USD a month each with its
    address, and 0.045 USD a GB). With `one`, all tasks lose the way out with the zone it is in.
  END
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "one", "per_zone"], var.nat)
    error_message = "NAT must be none, one or per_zone."
  }
}

variable "service_port" {
  description = "The port that the server listens on in its tasks."
  type        = number
}

variable "ingress_cidrs" {
  description = "The address blocks that may reach the load balancer."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.ingress_cidrs) > 0 && alltrue([for cidr in var.ingress_cidrs : can(cidrnetmask(cidr))])
    error_message = "Name at least one block of addresses, such as 198.51.100.0/24."
  }
}
