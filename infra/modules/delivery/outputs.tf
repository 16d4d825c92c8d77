output "pipeline_name" {
  description = "The pipeline, for `aws codepipeline` commands."
  value       = aws_codepipeline.this.name
}

output "log_group_name" {
  description = "The logs of the builds."
  value       = aws_cloudwatch_log_group.builds.name
}
