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

variable "image" {
  description = "The image to run: REPOSITORY@sha256:… Without a value, the image pushed last."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("^[^@\\s]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "The image must be named by its digest: REPOSITORY@sha256:… with 64 hexadecimal digits."
  }
}

variable "database_password" {
  description = <<-END
    The database's password, in TF_VAR_database_password: from the secret in which bootstrap.sh keeps it. It is written only
    when database_password_version changes, and yet every plan takes it: without it the provider refuses password_wo_version.
  END
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "database_password_version" {
  description = "Raise it to set a new password."
  type        = number
  default     = 1
}

variable "allow_removal" {
  description = "Lifts the protection of stored data; bootstrap.sh sets this before it destroys."
  type        = bool
  default     = false
}

# --- The network

variable "network_cidr" {
  description = "The address block of the network."
  type        = string
  default     = "10.0.0.0/16"
}

variable "zone_count" {
  description = "The number of availability zones: 2 or 3."
  type        = number
  default     = 2
}

variable "nat" {
  description = "The NAT gateways for tasks: none, one or per_zone; modules/network states their cost."
  type        = string
  default     = "none"
}

variable "ingress_cidrs" {
  description = "The address blocks that may reach the load balancer."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "domain" {
  description = "The domain name of the server and its Route 53 zone, for HTTPS."
  type        = object({ name = string, zone = string })
  default     = null
}

# --- The stores

variable "database" {
  description = "PostgreSQL; modules/stores explains the fields."
  type = object({
    kind                = optional(string)
    version             = optional(string)
    instance_class      = optional(string)
    aurora_capacity_max = optional(number)
    multi_az            = optional(bool)
    backup_days         = optional(number)
  })
  default = {}
}

variable "cache" {
  description = "Valkey; modules/stores explains the fields."
  type = object({
    node_type     = optional(string)
    nodes         = optional(number)
    snapshot_days = optional(number)
  })
  default = {}
}

# --- The tasks

variable "architecture" {
  description = "The processor architecture of the tasks: ARM64 or X86_64. The same as in the registry stack."
  type        = string
  default     = "ARM64"
}

variable "tasks" {
  description = "Size and number of the tasks, and whether they run on spare capacity."
  type = object({
    cpu        = optional(number, 256)
    memory_mib = optional(number, 512)
    min        = optional(number, 2)
    max        = optional(number, 6)
    spot       = optional(bool, false)
  })
  default = {}
}

variable "bake_minutes" {
  description = "The minutes for which the old tasks stay after a deployment, ready to take over again."
  type        = number
  default     = 5
}

variable "execute_command" {
  description = "Whether commands can be run in tasks with ECS Exec."
  type        = bool
  default     = false
}

variable "container_insights" {
  description = "Whether CloudWatch measures each task."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "The number of days for which logs are kept."
  type        = number
  default     = 30
}

variable "alarm_emails" {
  description = "The e-mail addresses that get alarms."
  type        = list(string)
  default     = []
}
