output "url" {
  description = "The URL of the server."
  value       = local.has_domain ? "https://${local.domain}" : "http://${aws_lb.this.dns_name}"

  # The URL is useful only once the service answers.
  depends_on = [aws_ecs_service.server, aws_route53_record.server]
}

output "cluster_name" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "The ECS service."
  value       = aws_ecs_service.server.name
}

output "log_group_name" {
  description = "The group of the logs."
  value       = aws_cloudwatch_log_group.server.name
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "alarm_topic_arn" {
  description = "The topic that alarms are sent to."
  value       = aws_sns_topic.alarms.arn
}
