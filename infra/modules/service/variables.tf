variable "name" {
  description = "Begins the names of everything. Load balancers take 32 characters, of which the colours take 6."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.name))
    error_message = "A name has 3 to 26 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "environment" {
  description = "The environment, for the name of the log group."
  type        = string
}

variable "image" {
  description = "What to run, by digest: REPOSITORY@sha256:… A tag could come to mean another image between two tasks."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+$", var.image))
    error_message = "The image is named by its digest: REPOSITORY@sha256:…"
  }
}

variable "repository_arn" {
  description = "The registry that the image comes from."
  type        = string
}

# --- Where it runs

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "public_subnet_ids" {
  description = "Where the load balancer is: two or more zones."
  type        = list(string)

  validation {
    condition     = length(var.public_subnet_ids) >= 2
    error_message = "A load balancer needs subnets in two zones."
  }
}

variable "task_subnet_ids" {
  description = "Where the tasks are: two or more zones."
  type        = list(string)

  validation {
    condition     = length(var.task_subnet_ids) >= 2
    error_message = "Tasks are spread over two zones or more."
  }
}

variable "public_addresses" {
  description = "Whether tasks get public addresses, which they need where no NAT leads out. Their security group keeps others out."
  type        = bool
}

variable "security_group_ids" {
  description = "The groups of the load balancer and of the tasks."
  type        = object({ load_balancer = string, service = string })
}

variable "domain" {
  description = "The name that the server is reached by, and the Route 53 zone it is in. Without it there is plain HTTP on the load balancer's own name."
  type        = object({ name = string, zone = string })
  default     = null

  validation {
    condition     = var.domain == null || try(var.domain.name == var.domain.zone || endswith(var.domain.name, ".${var.domain.zone}"), false)
    error_message = "The name of the server is the zone or a name in it, such as telemetry.example.com in example.com."
  }
}

# --- What it stores to

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
    error_message = "The greeting is reached over TLS: rediss://"
  }
}

variable "todos_url_secret_arn" {
  description = "The secret whose whole value is FIELDSTATION_TODOS."
  type        = string
}

variable "todos_url_version" {
  description = "Another number makes new tasks, which a new value in the secret takes: tasks read it when they start."
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

# --- How it runs

variable "port" {
  description = "The port that the server listens on."
  type        = number
  default     = 5000
}

variable "architecture" {
  description = "ARM64, which costs a fifth less, or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "The architecture is ARM64 or X86_64."
  }
}

variable "cpu" {
  description = "Of a task, in thousandths of a processor and a bit: 256, 512, 1024, 2048, 4096."
  type        = number
  default     = 256
}

variable "memory_mib" {
  description = "Of a task, in MiB: 2 to 8 times the cpu."
  type        = number
  default     = 512

  validation {
    condition     = var.memory_mib >= 2 * var.cpu && var.memory_mib <= 8 * var.cpu
    error_message = "Fargate gives a task 2 to 8 MiB of memory for each unit of cpu."
  }
}

variable "tasks_min" {
  description = "How many tasks there are at least."
  type        = number
  default     = 2

  validation {
    condition     = var.tasks_min >= 1
    error_message = "There is at least one task."
  }
}

variable "tasks_max" {
  description = "How many tasks there are at most."
  type        = number
  default     = 6

  validation {
    condition     = var.tasks_max >= var.tasks_min
    error_message = "There cannot be fewer tasks at most than at least."
  }
}

variable "spot" {
  description = "Whether tasks run on spare capacity: about a third of the price, and AWS may take it back with two minutes' notice."
  type        = bool
  default     = false
}

variable "drain_seconds" {
  description = "How long requests under way may take to end when a task stops."
  type        = number
  default     = 20
}

variable "deregistration_seconds" {
  description = "For how long the load balancer lets requests end on a task that is to stop. Longer than drain_seconds."
  type        = number
  default     = 30
}

variable "stop_seconds" {
  description = "After how long a task that was told to stop is killed: longer than drain_seconds, and 120 at most."
  type        = number
  default     = 45

  validation {
    condition     = var.stop_seconds <= 120
    error_message = "Fargate waits for 120 seconds at most."
  }
}

variable "bake_minutes" {
  description = "For how long the old tasks stay after a deployment, ready to take over again."
  type        = number
  default     = 5

  validation {
    condition     = var.bake_minutes >= 2 && var.bake_minutes <= 1440
    error_message = "A deployment bakes for 2 to 1440 minutes: in less than two no alarm can tell that something is wrong."
  }
}

variable "execute_command" {
  description = "Whether commands can be run in tasks with ECS Exec, such as `/fieldstation healthcheck`; the image has no shell."
  type        = bool
  default     = false
}

variable "container_insights" {
  description = "Whether CloudWatch measures each task, which costs some dollars a month."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "For how many days logs are kept."
  type        = number
  default     = 30
}

variable "log_filter" {
  description = "FIELDSTATION_LOG: what is logged."
  type        = string
  default     = "info"
}

variable "alarm_emails" {
  description = "Who is told of alarms; each address has to confirm that once."
  type        = list(string)
  default     = []
}

variable "protect" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
}
