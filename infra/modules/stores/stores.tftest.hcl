# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  name               = "fieldstation-prod"
  private_subnet_ids = ["subnet-1", "subnet-2"]
  security_group_ids = { database = "sg-database", cache = "sg-cache" }
  protect            = true
  database_password  = "000000000000000000000000TEST"
}

run "nothing_is_public_and_everything_is_encrypted" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.files.block_public_acls,
      aws_s3_bucket_public_access_block.files.block_public_policy,
      aws_s3_bucket_public_access_block.files.ignore_public_acls,
      aws_s3_bucket_public_access_block.files.restrict_public_buckets,
    ])
    error_message = "Files could be made public."
  }
  assert {
    condition     = !aws_db_instance.this[0].publicly_accessible && toset(aws_db_subnet_group.this.subnet_ids) == toset(var.private_subnet_ids)
    error_message = "The database is public."
  }
  assert {
    condition     = toset(aws_elasticache_subnet_group.this.subnet_ids) == toset(var.private_subnet_ids)
    error_message = "The cache is not in the private subnets."
  }
  assert {
    condition     = aws_db_instance.this[0].vpc_security_group_ids == toset(["sg-database"]) && aws_elasticache_replication_group.this.security_group_ids == toset(["sg-cache"])
    error_message = "A store is not in its own security group."
  }
  assert {
    condition     = aws_db_instance.this[0].storage_encrypted
    error_message = "The database is not encrypted."
  }
  assert {
    condition     = one(aws_db_parameter_group.tls[0].parameter).name == "rds.force_ssl" && one(aws_db_parameter_group.tls[0].parameter).value == "1"
    error_message = "The database accepts connections without TLS."
  }
  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required" && tobool(aws_elasticache_replication_group.this.at_rest_encryption_enabled)
    error_message = "The cache is not encrypted."
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.server_side_encryption[0].enabled])
    error_message = "A table is not encrypted with a key of the account."
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.files.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "Files are not encrypted."
  }
}

run "what_is_stored_can_be_brought_back_and_is_protected" {
  command = plan

  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.point_in_time_recovery[0].enabled && table.deletion_protection_enabled])
    error_message = "A table has no point-in-time recovery, or could be deleted."
  }
  assert {
    condition     = toset([for table in aws_dynamodb_table.this : table.name]) == toset(["fieldstation-prod-temperature-readings", "fieldstation-prod-temperature-readings-aggregation"])
    error_message = "The table names differ from the names that the server uses."
  }
  assert {
    condition     = aws_db_instance.this[0].backup_retention_period >= 1 && aws_db_instance.this[0].deletion_protection && !aws_db_instance.this[0].skip_final_snapshot
    error_message = "The database has no backups, or could be deleted."
  }
  assert {
    condition     = aws_s3_bucket_versioning.files.versioning_configuration[0].status == "Enabled" && !aws_s3_bucket.files.force_destroy
    error_message = "Files have no old versions, or could be deleted with their bucket."
  }
  assert {
    condition     = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.files.rule : length(rule.abort_incomplete_multipart_upload) > 0])
    error_message = "Unfinished uploads are never removed."
  }
}

run "protection_is_lifted_when_asked_for" {
  command = plan

  variables {
    allow_removal = true
  }
  assert {
    condition     = !aws_db_instance.this[0].deletion_protection && aws_s3_bucket.files.force_destroy && alltrue([for table in aws_dynamodb_table.this : !table.deletion_protection_enabled])
    error_message = "A resource stays protected."
  }
}

run "the_bucket_refuses_what_is_not_tls" {
  command = apply

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.files.policy).Statement :
      statement.Effect == "Deny" && statement.Action == "s3:*" && statement.Condition.Bool["aws:SecureTransport"] == "false"
    ])
    error_message = "Files can be read without TLS."
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.files.policy).Statement : statement.Effect == "Deny"])
    error_message = "The bucket's policy grants access."
  }
  assert {
    condition     = aws_db_instance.this[0].password == null && aws_db_instance.this[0].password_wo == null && aws_secretsmanager_secret_version.todos_url.secret_string_wo == null
    error_message = "The state contains the password."
  }
  assert {
    condition     = startswith(output.greeting_url, "rediss://")
    error_message = "The greeting crosses the network without TLS."
  }
}

run "aurora_is_as_safe" {
  command = plan

  variables {
    database = { kind = "aurora", multi_az = true }
  }
  assert {
    condition     = length(aws_db_instance.this) == 0 && length(aws_rds_cluster_instance.this) == 2
    error_message = "No Aurora cluster was created, or it has no second instance."
  }
  assert {
    condition     = aws_rds_cluster.this[0].storage_encrypted && aws_rds_cluster.this[0].deletion_protection && aws_rds_cluster.this[0].backup_retention_period >= 1 && alltrue([for instance in aws_rds_cluster_instance.this : !instance.publicly_accessible])
    error_message = "The cluster is not encrypted, not protected, has no backups, or is public."
  }
}

run "a_weak_password_is_refused" {
  command = plan

  variables {
    database_password = "fieldstation"
  }
  expect_failures = [var.database_password]
}

run "one_subnet_is_refused" {
  command = plan

  variables {
    private_subnet_ids = ["subnet-1"]
  }
  expect_failures = [var.private_subnet_ids]
}

run "no_backups_are_refused" {
  command = plan

  variables {
    database = { backup_days = 0 }
  }
  expect_failures = [var.database]
}

run "an_unknown_database_is_refused" {
  command = plan

  variables {
    database = { kind = "mysql" }
  }
  expect_failures = [var.database]
}
