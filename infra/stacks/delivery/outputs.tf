output "pipeline_name" {
  description = "The pipeline, if there is one."
  value       = one(module.delivery[*].pipeline_name)
}

output "github_role_arn" {
  description = "The role that a workflow assumes: the variable AWS_ROLE_ARN in the repository's environment of the same name."
  value       = one(module.deployer[*].role_arn)
}
