# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  name                 = "fieldstation-dev"
  environment          = "dev"
  image                = "123456789012.dkr.ecr.us-east-1.amazonaws.com/fieldstation-dev@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  repository_arn       = "arn:aws:ecr:us-east-1:123456789012:repository/fieldstation-dev"
  vpc_id               = "vpc-1"
  public_subnet_ids    = ["subnet-1", "subnet-2"]
  task_subnet_ids      = ["subnet-3", "subnet-4"]
  public_addresses     = false
  security_group_ids   = { load_balancer = "sg-1", service = "sg-2" }
  readings_url         = "dynamodb://fieldstation-dev?region=us-east-1"
  files_url            = "s3://fieldstation-dev-files-123456789012/devices"
  greeting_url         = "rediss://cache.example.test:6379"
  todos_url_secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:fieldstation-dev/todos-url-AbCdEf"
  table_arns           = ["arn:aws:dynamodb:us-east-1:123456789012:table/fieldstation-dev-temperature-readings"]
  bucket_arn           = "arn:aws:s3:::fieldstation-dev-files-123456789012"
  table_names          = { readings = "fieldstation-dev-temperature-readings" }
  database_identifier  = { DBInstanceIdentifier = "fieldstation-dev" }
  cache_node_ids       = ["fieldstation-dev-001"]
  protect              = true
}

run "the_container_is_locked_down" {
  command = apply

  assert {
    condition     = local.definition.readonlyRootFilesystem && local.definition.user == "10001:10001" && local.definition.linuxParameters.capabilities.drop == ["ALL"]
    error_message = "The container may write to its image, runs as root, or has capabilities."
  }
  assert {
    condition     = [for secret in local.definition.secrets : secret.name] == ["FIELDSTATION_TODOS"] && !contains([for setting in local.definition.environment : setting.name], "FIELDSTATION_TODOS")
    error_message = "The task definition contains the database password."
  }
  assert {
    condition     = local.definition.healthCheck.command[0] == "CMD"
    error_message = "The health check needs a shell, and the image has none."
  }
  assert {
    condition     = local.definition.stopTimeout > var.drain_seconds && alltrue([for group in aws_lb_target_group.server : tonumber(group.deregistration_delay) > var.drain_seconds])
    error_message = "Requests are cut off before they have drained."
  }
  assert {
    condition     = tonumber(local.settings.FIELDSTATION_HEADER_TIMEOUT_SECONDS) > aws_lb.this.idle_timeout
    error_message = "The server closes idle connections before the load balancer does."
  }
  assert {
    condition     = length(aws_ecs_task_definition.server.volume) == 0 && !aws_ecs_service.server.enable_execute_command
    error_message = "ECS Exec is enabled by default."
  }
  assert {
    condition     = one(aws_ecs_task_definition.server.runtime_platform).cpu_architecture == "ARM64"
    error_message = "Tasks do not run on ARM by default."
  }
}

run "policies_name_what_they_allow" {
  command = apply

  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.task.policy, aws_iam_role_policy.execution.policy] : [
        for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
      ]
    ]))
    error_message = "A policy allows actions by a pattern."
  }
  # These actions support no resource-level permissions.
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.task.policy, aws_iam_role_policy.execution.policy] : [
        for statement in jsondecode(policy).Statement : contains(flatten([statement.Resource]), "*") ? contains(["RegistryLogin", "Exec", "ExecLogGroups"], statement.Sid) : true
      ]
    ]))
    error_message = "A policy allows an action on every resource."
  }
  assert {
    condition = alltrue(flatten([
      for role in [aws_iam_role.task, aws_iam_role.execution, aws_iam_role.traffic] : [
        for statement in jsondecode(role.assume_role_policy).Statement : try(statement.Condition.StringEquals["aws:SourceAccount"], "") != ""
      ]
    ]))
    error_message = "A role can be assumed on behalf of another account."
  }
}

run "commands_in_tasks_when_asked_for" {
  command = apply

  variables {
    execute_command = true
  }
  assert {
    condition     = aws_ecs_service.server.enable_execute_command && toset([for point in local.definition.mountPoints : point.containerPath]) == toset(["/var/lib/amazon", "/var/log/amazon"])
    error_message = "The ECS Exec agent has no writable directory."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.task.policy).Statement :
      !contains(flatten([statement.Resource]), "*") || contains(["Exec", "ExecLogGroups"], statement.Sid)
    ])
    error_message = "Actions other than the agent's are allowed on every resource."
  }
}

run "deployments_are_blue_and_green_and_turn_back" {
  command = plan

  assert {
    condition     = aws_ecs_service.server.deployment_configuration[0].strategy == "BLUE_GREEN" && aws_ecs_service.server.alarms[0].rollback && aws_ecs_service.server.alarms[0].enable && aws_ecs_service.server.deployment_circuit_breaker[0].rollback
    error_message = "A failed deployment is not rolled back."
  }
  assert {
    condition     = length(aws_ecs_service.server.alarms[0].alarm_names) == 2
    error_message = "No alarm watches deployments."
  }
  assert {
    condition     = aws_ecs_service.server.deployment_minimum_healthy_percent == 100 && aws_ecs_service.server.deployment_maximum_percent == 200
    error_message = "Old tasks stop before new ones are healthy."
  }
  assert {
    condition     = length(one(aws_ecs_service.server.network_configuration).subnets) >= 2 && aws_ecs_service.server.desired_count >= 2
    error_message = "Tasks are not spread over zones."
  }
  assert {
    condition     = aws_cloudwatch_log_group.server.retention_in_days > 0
    error_message = "Logs are kept for ever."
  }
}

run "without_a_domain_there_is_plain_http" {
  command = plan

  assert {
    condition     = length(aws_lb_listener.https) == 0 && aws_lb_listener.http.port == 80
    error_message = "There is a listener without a certificate."
  }
}

run "with_a_domain_everything_goes_to_https" {
  command = apply

  variables {
    domain = { name = "telemetry.example.test", zone = "example.test" }
  }
  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect" && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS" && aws_lb_listener.http.default_action[0].redirect[0].status_code == "HTTP_301"
    error_message = "Plain HTTP is not redirected."
  }
  assert {
    condition     = aws_lb_listener_rule.production.listener_arn == aws_lb_listener.https[0].arn
    error_message = "The URL of the server is plain HTTP."
  }
  assert {
    condition     = strcontains(aws_lb_listener.https[0].ssl_policy, "TLS13-1-2")
    error_message = "The load balancer accepts an old version of TLS."
  }
  assert {
    condition     = output.url == "https://telemetry.example.test" && aws_route53_record.server[0].name == "telemetry.example.test"
    error_message = "The domain name points elsewhere."
  }
}

run "a_stop_that_is_shorter_than_the_drain_is_refused" {
  command = plan

  variables {
    stop_seconds = 15
  }
  expect_failures = [aws_ecs_task_definition.server]
}

run "a_deregistration_that_is_shorter_than_the_drain_is_refused" {
  command = plan

  variables {
    deregistration_seconds = 10
  }
  expect_failures = [aws_ecs_task_definition.server]
}

run "an_image_by_tag_is_refused" {
  command = plan

  variables {
    image = "fieldstation:latest"
  }
  expect_failures = [var.image]
}

run "one_zone_is_refused" {
  command = plan

  variables {
    task_subnet_ids   = ["subnet-3"]
    public_subnet_ids = ["subnet-1"]
  }
  expect_failures = [var.task_subnet_ids, var.public_subnet_ids]
}

run "a_domain_outside_of_its_zone_is_refused" {
  command = plan

  variables {
    domain = { name = "telemetry.example.org", zone = "example.test" }
  }
  expect_failures = [var.domain]
}

run "a_greeting_in_the_clear_is_refused" {
  command = plan

  variables {
    greeting_url = "redis://cache.example.test:6379"
  }
  expect_failures = [var.greeting_url]
}

run "memory_that_does_not_go_with_the_processor_is_refused" {
  command = plan

  variables {
    memory_mib = 4096
  }
  expect_failures = [var.memory_mib]
}
