output "readings_url" {
  description = "FIELDSTATION_READINGS."
  value       = "dynamodb://${var.name}?region=${data.aws_region.current.region}"
}

output "files_url" {
  description = "FIELDSTATION_FILES."
  value       = "s3://${aws_s3_bucket.files.bucket}/devices?region=${data.aws_region.current.region}"
}

output "greeting_url" {
  description = "FIELDSTATION_GREETING: with TLS and a publicly trusted certificate. There is no password; the security group keeps other clients out."
  value       = "rediss://${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
}

output "todos_url_secret_arn" {
  description = "The secret whose whole value is FIELDSTATION_TODOS."
  # The secret with its value: a task that starts without the value would fail.
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
  description = "The database, for alarms: the dimension of its CloudWatch metrics."
  value       = local.aurora ? { DBClusterIdentifier = var.name } : { DBInstanceIdentifier = var.name }
}

output "cache_node_ids" {
  description = "The nodes of the cache, for alarms."
  value       = [for number in range(var.cache.nodes) : format("%s-%03d", var.name, number + 1)]
}

data "aws_region" "current" {}
