output "url" {
  description = "Where the server is reached."
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
  description = "Where the logs are: `aws logs tail NAME --follow`."
  value       = module.service.log_group_name
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = module.service.dashboard_name
}

output "readings_url" {
  description = "The tables, as the server's commands for DynamoDB take them."
  value       = module.stores.readings_url
}

output "files_url" {
  description = "Where the files are."
  value       = module.stores.files_url
}
