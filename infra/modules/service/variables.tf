variable "name" {
  description = "Prefix of all resource names. A load balancer's name has at most 32 characters, and the colours of a deployment need 6 of them."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.name))
    error_message = "The name must have 3 to 26 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "environment" {
  description = "The environment, used in the name of the log group."
  type        = string
}

variable "image" {
  description = "The image to run, by digest: REPOSITORY@sha256:… A tag could change between the start of two tasks."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+$", var.image))
    error_message = "The image must be named by its digest: REPOSITORY@sha256:…"
  }
}

variable "repository_arn" {
  description = "The registry of the image."
  type        = string
}

# --- The place of the tasks

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "public_subnet_ids" {
  description = "The subnets of the load balancer, in two or more zones."
  type        = list(string)

  validation {
    condition     = length(var.public_subnet_ids) >= 2
    error_message = "A load balancer needs subnets in two zones."
  }
}

variable "task_subnet_ids" {
  description = "The subnets of the tasks, in two or more zones."
  type        = list(string)

  validation {
    condition     = length(var.task_subnet_ids) >= 2
    error_message = "Tasks need subnets in two zones or more."
  }
}

variable "public_addresses" {
  description = "Whether tasks get public addresses, which they need without NAT. Their security group admits only the load balancer."
  type        = bool
}

variable "security_group_ids" {
  description = "The groups of the load balancer and of the tasks."
  type        = object({ load_balancer = string, service = string })
}

variable "domain" {
  description = "The domain name of the server, and its Route 53 zone. Without a domain, the load balancer's own name serves plain HTTP."
  type        = object({ name = string, zone = string })
  default     = null

  validation {
    condition     = var.domain == null || try(var.domain.name == var.domain.zone || endswith(var.domain.name, ".${var.domain.zone}"), false)
    error_message = "The domain name must be the zone itself or a name in it, such as telemetry.example.com in example.com."
  }
}

# --- The stores

variable "readings_url" {
  description = "FIELDSTATION_READINGS."
  type        = string
}

variable "files_url" {
  description = "FIELDSTATION_FILES."
  type        = string
}

variable "greeting_url" {
  description = "FIELDSTATION_GREETING."
  type        = string

  validation {
    condition     = startswith(var.greeting_url, "rediss://")
    error_message = "The URL of the greeting must use TLS: rediss://"
  }
}

variable "todos_url_secret_arn" {
  description = "The secret whose whole value is FIELDSTATION_TODOS."
  type        = string
}

variable "todos_url_version" {
  description = "Change this number to start new tasks after a change of the secret: tasks read the secret at their start."
  type        = number
  default     = 1
}

variable "table_arns" {
  description = "The DynamoDB tables that the server may use."
  type        = list(string)
}

variable "bucket_arn" {
  description = "The bucket that the server may use."
  type        = string
}

variable "table_names" {
  description = "The tables, for alarms."
  type        = map(string)
}

variable "database_identifier" {
  description = "The database, for alarms: one dimension of CloudWatch."
  type        = map(string)
}

variable "cache_node_ids" {
  description = "The nodes of the cache, for alarms."
  type        = list(string)
}

# --- The tasks

variable "port" {
  description = "The port that the server listens on."
  type        = number
  default     = 5000
}

variable "architecture" {
  description = "ARM64 (a fifth cheaper) or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "The architecture must be ARM64 or X86_64."
  }
}

variable "cpu" {
  description = "The CPU units of a task (1024 are one processor): 256, 512, 1024, 2048 or 4096."
  type        = number
  default     = 256
}

variable "memory_mib" {
  description = "The memory of a task in MiB: 2 to 8 times the CPU units."
  type        = number
  default     = 512

  validation {
    condition     = var.memory_mib >= 2 * var.cpu && var.memory_mib <= 8 * var.cpu
    error_message = "The memory must be 2 to 8 MiB per CPU unit."
  }
}

variable "tasks_min" {
  description = "The smallest number of tasks."
  type        = number
  default     = 2

  validation {
    condition     = var.tasks_min >= 1
    error_message = "The smallest number of tasks must be 1 or more."
  }
}

variable "tasks_max" {
  description = "The largest number of tasks."
  type        = number
  default     = 6

  validation {
    condition     = var.tasks_max >= var.tasks_min
    error_message = "The largest number of tasks must not be below the smallest."
  }
}

variable "spot" {
  description = "Whether tasks run on spare capacity (Fargate Spot): about a third of the price, and AWS may stop a task with two minutes' notice."
  type        = bool
  default     = false
}

variable "drain_seconds" {
  description = "The seconds that running requests have to finish when a task stops."
  type        = number
  default     = 20
}

variable "deregistration_seconds" {
  description = "The seconds that the load balancer waits for requests on a stopping task. Longer than drain_seconds."
  type        = number
  default     = 30
}

variable "stop_seconds" {
  description = "The seconds until a stopping task is killed: longer than drain_seconds, and at most 120."
  type        = number
  default     = 45

  validation {
    condition     = var.stop_seconds <= 120
    error_message = "stop_seconds must be at most 120, the limit of Fargate."
  }
}

variable "bake_minutes" {
  description = "The minutes for which the old tasks stay after a deployment, ready to take over again."
  type        = number
  default     = 5

  validation {
    condition     = var.bake_minutes >= 2 && var.bake_minutes <= 1440
    error_message = "The bake time must be 2 to 1440 minutes: alarms need at least two minutes."
  }
}

variable "execute_command" {
  description = "Whether commands can be run in tasks with ECS Exec, such as `/fieldstation healthcheck`; the image has no shell."
  type        = bool
  default     = false
}

variable "container_insights" {
  description = "Whether CloudWatch measures each task, for some dollars a month."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "The number of days for which logs are kept."
  type        = number
  default     = 30
}

variable "log_filter" {
  description = "FIELDSTATION_LOG: the log filter."
  type        = string
  default     = "info"
}

variable "alarm_emails" {
  description = "The e-mail addresses that get alarms; each address has to confirm once."
  type        = list(string)
  default     = []
}

variable "protect" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
}
