output "instance_ids" {
  description = "The machines by name: `aws ssm start-session --target ID` opens a shell."
  value       = module.hosts.instance_ids
}
