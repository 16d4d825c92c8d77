variable "name" {
  description = "Begins the names of everything."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, as a block of /16 to /24."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.cidr)) && try(cidrhost(var.cidr, 0) == split("/", var.cidr)[0], false)
    error_message = "The network is a block such as 10.0.0.0/16, with its first address."
  }
  validation {
    condition     = try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 24, false)
    error_message = "The network is between /16 and /24: AWS takes none that is larger, and a smaller one has no room for its subnets."
  }
}

variable "zone_count" {
  description = "Over how many availability zones to spread: 2 or 3. One would go down with its zone, and a load balancer refuses it."
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "Spread over 2 or 3 availability zones."
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
    error_message = "NAT is none, one or per_zone."
  }
}

variable "service_port" {
  description = "The port that the server listens on in its tasks."
  type        = number
}

variable "ingress_cidrs" {
  description = "Who may reach the load balancer: blocks of addresses."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.ingress_cidrs) > 0 && alltrue([for cidr in var.ingress_cidrs : can(cidrnetmask(cidr))])
    error_message = "Name at least one block of addresses, such as 198.51.100.0/24."
  }
}
