# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  name         = "fieldstation-dev"
  service_port = 5000
}

run "only_80_and_443_are_open_and_only_on_the_load_balancer" {
  # Applied, because security groups get their ids only then.
  command = apply

  assert {
    condition = toset([for rule in aws_vpc_security_group_ingress_rule.load_balancer : rule.from_port]) == toset([80, 443]) && alltrue([
      for rule in aws_vpc_security_group_ingress_rule.load_balancer : rule.from_port == rule.to_port && rule.ip_protocol == "tcp"
    ])
    error_message = "The load balancer is open on other ports than 80 and 443."
  }
  assert {
    condition = alltrue([
      for rule in concat([aws_vpc_security_group_ingress_rule.service_from_load_balancer], values(aws_vpc_security_group_ingress_rule.store_from_service)) :
      rule.cidr_ipv4 == null && rule.cidr_ipv6 == null && rule.prefix_list_id == null && rule.from_port == rule.to_port
    ])
    error_message = "A group other than the load balancer's admits addresses instead of a security group."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.service_from_load_balancer.referenced_security_group_id == aws_security_group.load_balancer.id
    error_message = "A group other than the load balancer's reaches the service."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.store_from_service : rule.referenced_security_group_id == aws_security_group.service.id])
    error_message = "A group other than the service's reaches a store."
  }
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default security group has rules."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.service_to_store : rule.cidr_ipv4 == null])
    error_message = "The service can reach more than its stores inside the network."
  }
  assert {
    condition     = alltrue([for subnet in merge(aws_subnet.public, aws_subnet.private) : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "A subnet assigns public addresses automatically."
  }
}

run "without_nat_tasks_are_in_public_subnets_and_nothing_leads_out_of_the_private_ones" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0 && output.tasks_need_public_addresses
    error_message = "There is a NAT gateway, or tasks have no route to the internet."
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.gateway)) == toset(["s3", "dynamodb"])
    error_message = "S3 and DynamoDB are not reached by gateway endpoints."
  }
}

run "one_nat_gateway_serves_all_zones" {
  command = plan

  variables {
    nat        = "one"
    zone_count = 3
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3 && !output.tasks_need_public_addresses
    error_message = "One NAT gateway does not serve three zones."
  }
}

run "a_nat_gateway_per_zone" {
  command = plan

  variables {
    nat        = "per_zone"
    zone_count = 3
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_subnet.public) == 3 && length(aws_subnet.private) == 3
    error_message = "Three zones do not have three NAT gateways."
  }
}

run "a_block_that_is_none_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.0/33"
  }
  expect_failures = [var.cidr]
}

run "a_block_that_does_not_begin_at_its_first_address_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.1/16"
  }
  expect_failures = [var.cidr]
}

run "a_block_that_is_too_small_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.0/28"
  }
  expect_failures = [var.cidr]
}

run "one_zone_is_refused" {
  command = plan

  variables {
    zone_count = 1
  }
  expect_failures = [var.zone_count]
}

run "an_unknown_kind_of_nat_is_refused" {
  command = plan

  variables {
    nat = "two"
  }
  expect_failures = [var.nat]
}
