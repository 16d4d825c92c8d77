output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Public subnets, one per zone."
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Private subnets, one per zone."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "task_subnet_ids" {
  description = "The subnets for tasks: the private ones if they have a route to the internet, otherwise the public ones."
  value       = [for zone in local.zones : var.nat == "none" ? aws_subnet.public[zone].id : aws_subnet.private[zone].id]
}

output "tasks_need_public_addresses" {
  description = "Whether a task needs a public address to reach AWS."
  value       = var.nat == "none"
}

output "security_group_ids" {
  description = "The security groups: load_balancer, service, database, cache."
  value = {
    load_balancer = aws_security_group.load_balancer.id
    service       = aws_security_group.service.id
    database      = aws_security_group.database.id
    cache         = aws_security_group.cache.id
  }

  # The rules come first: a task that starts before them cannot pull its image.
  depends_on = [
    aws_vpc_security_group_ingress_rule.load_balancer,
    aws_vpc_security_group_egress_rule.load_balancer_to_service,
    aws_vpc_security_group_ingress_rule.service_from_load_balancer,
    aws_vpc_security_group_egress_rule.service_to_aws,
    aws_vpc_security_group_egress_rule.service_to_store,
    aws_vpc_security_group_ingress_rule.store_from_service,
  ]
}
