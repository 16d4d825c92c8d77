output "instance_ids" {
  description = "The machines by name: `aws ssm start-session --target ID` opens a shell."
  value       = { for name, host in aws_instance.host : name => host.id }
}
