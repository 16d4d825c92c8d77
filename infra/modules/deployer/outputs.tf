output "role_arn" {
  description = "What a workflow assumes."
  value       = aws_iam_role.github.arn
}
