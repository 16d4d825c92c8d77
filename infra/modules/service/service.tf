# The server: tasks on Fargate, one zone per subnet, with blue/green deployments.

data "aws_region" "current" {}

resource "aws_cloudwatch_log_group" "server" {
  name              = "/fieldstation/${var.environment}"
  retention_in_days = var.log_days
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights ? "enabled" : "disabled"
  }

  # Commands run with ECS Exec are logged.
  configuration {
    execute_command_configuration {
      logging = "OVERRIDE"

      log_configuration {
        cloud_watch_log_group_name = aws_cloudwatch_log_group.server.name
      }
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

locals {
  container = "server"

  # Directories for the ECS Exec agent, because the root file system is read-only.
  exec_volumes = var.execute_command ? { exec-state = "/var/lib/amazon", exec-log = "/var/log/amazon" } : {}

  settings = {
    FIELDSTATION_READINGS      = var.readings_url
    FIELDSTATION_FILES         = var.files_url
    FIELDSTATION_GREETING      = var.greeting_url
    FIELDSTATION_LISTEN        = "0.0.0.0:${var.port}"
    FIELDSTATION_LOG           = var.log_filter
    FIELDSTATION_LOG_FORMAT    = "json"
    FIELDSTATION_DRAIN_SECONDS = tostring(var.drain_seconds)
    # Longer than the load balancer's idle time-out, so that the load balancer never sends a request on a connection that the server is closing.
    FIELDSTATION_HEADER_TIMEOUT_SECONDS = tostring(local.idle_timeout_seconds + 15)
  }

  definition = {
    name      = local.container
    image     = var.image
    essential = true

    user                   = "10001:10001"
    readonlyRootFilesystem = true
    linuxParameters = {
      initProcessEnabled = var.execute_command
      capabilities       = { drop = ["ALL"] }
    }

    portMappings = [{ containerPort = var.port, protocol = "tcp" }]
    environment  = [for name in sort(keys(local.settings)) : { name = name, value = local.settings[name] }]
    secrets      = [{ name = "FIELDSTATION_TODOS", valueFrom = var.todos_url_secret_arn }]
    mountPoints  = [for name, path in local.exec_volumes : { sourceVolume = name, containerPath = path, readOnly = false }]

    # The same time as in the load balancer: a database fail-over ends within that time.
    healthCheck = {
      command     = ["CMD", "/fieldstation", "healthcheck", "--url", "http://127.0.0.1:${var.port}"]
      interval    = 15
      timeout     = 5
      retries     = 10
      startPeriod = 15
    }
    stopTimeout  = var.stop_seconds
    dockerLabels = { "todos-url-version" = tostring(var.todos_url_version) }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.server.name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = "server"
        # Logging must not block a task.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  }
}

resource "aws_ecs_task_definition" "server" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mib
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  dynamic "volume" {
    for_each = local.exec_volumes

    content {
      name = volume.key
    }
  }

  container_definitions = jsonencode([local.definition])

  lifecycle {
    precondition {
      condition     = var.stop_seconds > var.drain_seconds && var.deregistration_seconds > var.drain_seconds
      error_message = "stop_seconds and deregistration_seconds must be longer than drain_seconds; otherwise tasks end before they have drained."
    }
  }
}

resource "aws_ecs_service" "server" {
  name            = var.name
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.server.arn
  desired_count   = var.tasks_min

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = var.task_subnet_ids
    security_groups  = [var.security_group_ids.service]
    assign_public_ip = var.public_addresses
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.server["blue"].arn
    container_name   = local.container
    container_port   = var.port

    advanced_configuration {
      alternate_target_group_arn = aws_lb_target_group.server["green"].arn
      production_listener_rule   = aws_lb_listener_rule.production.arn
      role_arn                   = aws_iam_role.traffic.arn
    }
  }

  # New tasks start beside the old ones, and requests move to them when all are healthy. The old tasks stay for the bake
  # time. An alarm during that time moves the requests back.
  deployment_configuration {
    strategy             = "BLUE_GREEN"
    bake_time_in_minutes = tostring(var.bake_minutes)
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  alarms {
    enable      = true
    rollback    = true
    alarm_names = [for alarm in aws_cloudwatch_metric_alarm.deployment : alarm.alarm_name]
  }

  # Replacements start before tasks with failed health checks stop.
  deployment_maximum_percent         = 200
  deployment_minimum_healthy_percent = 100
  health_check_grace_period_seconds  = 30

  enable_execute_command  = var.execute_command
  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"
  wait_for_steady_state   = true

  timeouts {
    create = "20m"
    update = "${30 + var.bake_minutes}m"
    delete = "20m"
  }

  lifecycle {
    # The number of tasks follows the load.
    ignore_changes = [desired_count]
  }

  depends_on = [
    aws_ecs_cluster_capacity_providers.this,
    aws_iam_role_policy.task,
    aws_iam_role_policy.execution,
    aws_iam_role_policy_attachment.traffic,
  ]
}
