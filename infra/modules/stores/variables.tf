variable "name" {
  description = "Begins the names of everything, and is the prefix of the tables."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "A name has 3 to 32 small letters, digits and hyphens, and begins with a letter: databases and buckets take nothing else."
  }
}

variable "private_subnet_ids" {
  description = "Subnets that the internet does not reach, in two or more zones."
  type        = list(string)

  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "A database needs subnets in two zones."
  }
}

variable "security_group_ids" {
  description = "The groups of the database and of the cache."
  type        = object({ database = string, cache = string })
}

variable "protect" {
  description = "Whether what is stored is protected against being deleted: databases refuse it, and leave a snapshot."
  type        = bool
}

variable "allow_removal" {
  description = "Lifts the protection, and lets a bucket be destroyed with files in it."
  type        = bool
  default     = false
}

variable "old_files_kept_days" {
  description = "For how many days a file that was replaced or deleted can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.old_files_kept_days >= 1
    error_message = "Keep old files for at least a day."
  }
}

variable "database" {
  description = <<-END
    PostgreSQL: `kind` is rds (an instance) or aurora (serverless, from 0.5 to `aurora_capacity_max` units). `version` is the
    major version, or one of its minor versions. `multi_az` adds the one that takes over. `backup_days` is how far back it can
    be restored.
  END
  type = object({
    kind                = optional(string, "rds")
    version             = optional(string, "17")
    instance_class      = optional(string, "db.t4g.micro")
    aurora_capacity_max = optional(number, 4)
    multi_az            = optional(bool, false)
    backup_days         = optional(number, 7)
  })
  default = {}

  validation {
    condition     = contains(["rds", "aurora"], var.database.kind)
    error_message = "The kind of database is rds or aurora."
  }
  validation {
    condition     = var.database.backup_days >= 1 && var.database.backup_days <= 35
    error_message = "Backups are kept for 1 to 35 days; without them there would be no going back."
  }
  validation {
    condition     = var.database.aurora_capacity_max >= 1 && var.database.aurora_capacity_max <= 128
    error_message = "Aurora scales up to 1 to 128 units."
  }
}

variable "database_password" {
  description = "The database's password: 24 or more letters and digits, which are safe in a URL. Kept in no plan and no state. Without it, AWS's provider refuses the version below."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.database_password == null || can(regex("^[A-Za-z0-9]{24,100}$", var.database_password))
    error_message = "The password of the database has 24 to 100 letters and digits, and nothing else."
  }
}

variable "database_password_version" {
  description = "Raise it to have a new password set: a password that is kept nowhere cannot be compared."
  type        = number
  default     = 1
}

variable "cache" {
  description = "Valkey: its nodes (the second takes over from the first, in another zone) and for how many days snapshots stay."
  type = object({
    node_type     = optional(string, "cache.t4g.micro")
    nodes         = optional(number, 1)
    snapshot_days = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.cache.nodes >= 1 && var.cache.nodes <= 6
    error_message = "The cache has 1 to 6 nodes."
  }
}

locals {
  protected = var.protect && !var.allow_removal
}
