output "readings_url" {
  description = "FIELDSTATION_READINGS."
  value       = "dynamodb://${var.name}?region=${data.aws_region.current.region}"
}

output "files_url" {
  description = "FIELDSTATION_FILES."
  value       = "s3://${aws_s3_bucket.files.bucket}/devices?region=${data.aws_region.current.region}"
}

output "greeting_url" {
  description = "FIELDSTATION_GREETING: TLS, its certificate from an authority that everybody trusts. Without a password; the security group keeps others out."
  value       = "rediss://${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
}

output "todos_url_secret_arn" {
  description = "The secret whose whole value is FIELDSTATION_TODOS."
  # With its value: a task that starts before it would fail.
  value = aws_secretsmanager_secret_version.todos_url.arn
}

output "table_arns" {
  description = "The DynamoDB tables, for the policy of the tasks."
  value       = [for table in aws_dynamodb_table.this : table.arn]
}

output "table_names" {
  description = "The DynamoDB tables, for alarms: readings, aggregations."
  value       = { for key, table in aws_dynamodb_table.this : key => table.name }
}

output "bucket_arn" {
  description = "The bucket of the files, for the policy of the tasks."
  value       = aws_s3_bucket.files.arn
}

output "database_identifier" {
  description = "The database, for alarms: how CloudWatch names what it measures of it."
  value       = local.aurora ? { DBClusterIdentifier = var.name } : { DBInstanceIdentifier = var.name }
}

output "cache_node_ids" {
  description = "The nodes of the cache, for alarms."
  value       = [for number in range(var.cache.nodes) : format("%s-%03d", var.name, number + 1)]
}

data "aws_region" "current" {}
