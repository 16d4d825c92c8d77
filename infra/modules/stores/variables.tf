variable "name" {
  description = "Prefix of all resource names and of the DynamoDB tables."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "The name must have 3 to 32 lower-case letters, digits and hyphens, and begin with a letter: databases and buckets accept no other names."
  }
}

variable "private_subnet_ids" {
  description = "Private subnets, in two or more zones."
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
  description = "Whether stored data is protected against deletion: the databases refuse deletion, and leave a final snapshot."
  type        = bool
}

variable "allow_removal" {
  description = "Lifts the protection, and allows destroying a bucket with files in it."
  type        = bool
  default     = false
}

variable "old_files_kept_days" {
  description = "The number of days for which a replaced or deleted file can be restored."
  type        = number
  default     = 30

  validation {
    condition     = var.old_files_kept_days >= 1
    error_message = "Keep old versions of files for at least one day."
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
    error_message = "The kind of database must be rds or aurora."
  }
  validation {
    condition     = var.database.backup_days >= 1 && var.database.backup_days <= 35
    error_message = "Backups must be kept for 1 to 35 days."
  }
  validation {
    condition     = var.database.aurora_capacity_max >= 1 && var.database.aurora_capacity_max <= 128
    error_message = "The largest capacity of Aurora must be 1 to 128 units."
  }
}

variable "database_password" {
  description = "The database password: 24 or more letters and digits, which are safe in a URL. Neither plan nor state contains it. Without it, AWS's provider refuses the version below."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.database_password == null || can(regex("^[A-Za-z0-9]{24,100}$", var.database_password))
    error_message = "The database password must have 24 to 100 letters and digits, and no other characters."
  }
}

variable "database_password_version" {
  description = "Raise this number to set a new password: Terraform stores no password, so it cannot compare passwords."
  type        = number
  default     = 1
}

variable "cache" {
  description = "Valkey: the number of nodes (the second node, in another zone, takes over from the first), and the number of days for which snapshots are kept."
  type = object({
    node_type     = optional(string, "cache.t4g.micro")
    nodes         = optional(number, 1)
    snapshot_days = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.cache.nodes >= 1 && var.cache.nodes <= 6
    error_message = "The cache must have 1 to 6 nodes."
  }
}

locals {
  protected = var.protect && !var.allow_removal
}
