output "url" {
  description = "Where the server is reached."
  value       = local.has_domain ? "https://${local.domain}" : "http://${aws_lb.this.dns_name}"

  # Before there is somebody who answers, the URL is of no use.
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
