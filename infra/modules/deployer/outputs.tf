output "role_arn" {
  description = "The role that a workflow assumes."
  value       = aws_iam_role.github.arn
}
