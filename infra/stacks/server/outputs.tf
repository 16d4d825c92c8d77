output "url" {
  description = "The URL of the server."
  value       = module.service.url
}

output "cluster_name" {
  description = "The ECS cluster, for `aws ecs` commands."
  value       = module.service.cluster_name
}

output "service_name" {
  description = "The ECS service, for `aws ecs` commands."
  value       = module.service.service_name
}

output "log_group_name" {
  description = "The log group: `aws logs tail NAME --follow` shows it."
  value       = module.service.log_group_name
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = module.service.dashboard_name
}

output "readings_url" {
  description = "The URL of the tables, for the server's DynamoDB commands."
  value       = module.stores.readings_url
}

output "files_url" {
  description = "The bucket of the files."
  value       = module.stores.files_url
}
