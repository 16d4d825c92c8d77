# The alarms: some notify people, some roll a deployment back.

# Not encrypted with AWS's own SNS key: CloudWatch may not use that key, so no alarm would arrive. Messages contain names and figures only.
resource "aws_sns_topic" "alarms" {
  name = "${var.name}-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.alarm_emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  balancer = { LoadBalancer = aws_lb.this.arn_suffix }
  service  = { ClusterName = aws_ecs_cluster.this.name, ServiceName = var.name }

  # These alarms are watched during the bake time, and bring the old tasks back. They watch the load balancer, so they do not
  # depend on the service, which depends on them.
  deployment_alarms = {
    server-errors = {
      description = "The server answers with 5xx errors"
      namespace   = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", dimensions = local.balancer
      statistic   = "Sum", threshold = 5, comparison = "GreaterThanThreshold", periods = 1
    }
    no-answer = {
      description = "The load balancer gets no answer from any task"
      namespace   = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count", dimensions = local.balancer
      statistic   = "Sum", threshold = 5, comparison = "GreaterThanThreshold", periods = 1
    }
  }

  operation_alarms = merge({
    # Not for deployments: a slow upload of a large file counts too.
    slow = {
      description = "One request in a hundred takes longer than five seconds"
      namespace   = "AWS/ApplicationELB", metric = "TargetResponseTime", dimensions = local.balancer
      statistic   = "p99", threshold = 5, comparison = "GreaterThanThreshold", periods = 10
    }
    cpu = {
      description = "The tasks are busy, and their number is at its limit"
      namespace   = "AWS/ECS", metric = "CPUUtilization", dimensions = local.service
      statistic   = "Average", threshold = 85, comparison = "GreaterThanThreshold", periods = 10
    }
    memory = {
      description = "The tasks are about to run out of memory"
      namespace   = "AWS/ECS", metric = "MemoryUtilization", dimensions = local.service
      statistic   = "Maximum", threshold = 90, comparison = "GreaterThanThreshold", periods = 3
    }
    database-cpu = {
      description = "The database is busy"
      namespace   = "AWS/RDS", metric = "CPUUtilization", dimensions = var.database_identifier
      statistic   = "Average", threshold = 85, comparison = "GreaterThanThreshold", periods = 10
    }
    # Aurora's storage grows by itself.
    }, contains(keys(var.database_identifier), "DBInstanceIdentifier") ? {
    database-disk = {
      description = "Less than 2 GB are left on the disk of the database"
      namespace   = "AWS/RDS", metric = "FreeStorageSpace", dimensions = var.database_identifier
      statistic   = "Minimum", threshold = 2e9, comparison = "LessThanThreshold", periods = 5
    }
    } : {}, {
    for key, table in var.table_names : "throttled-${key}" => {
      description = "DynamoDB refuses writes to ${table}"
      namespace   = "AWS/DynamoDB", metric = "WriteThrottleEvents", dimensions = { TableName = table }
      statistic   = "Sum", threshold = 10, comparison = "GreaterThanThreshold", periods = 3
    }
    }, {
    for node in var.cache_node_ids : "cache-memory-${node}" => {
      description = "The cache ${node} is about to run out of memory"
      namespace   = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", dimensions = { CacheClusterId = node }
      statistic   = "Maximum", threshold = 80, comparison = "GreaterThanThreshold", periods = 3
    }
  })
}

resource "aws_cloudwatch_metric_alarm" "deployment" {
  for_each = local.deployment_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  threshold           = each.value.threshold
  comparison_operator = each.value.comparison
  evaluation_periods  = each.value.periods
  period              = 60
  # A time without requests raises no alarm.
  treat_missing_data = "notBreaching"
  alarm_actions      = [aws_sns_topic.alarms.arn]
  ok_actions         = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "operation" {
  for_each = local.operation_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  threshold           = each.value.threshold
  comparison_operator = each.value.comparison
  evaluation_periods  = each.value.periods
  period              = 60
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# Most of the time one group has no targets, so this alarm watches both groups together.
resource "aws_cloudwatch_metric_alarm" "too_few_tasks" {
  alarm_name          = "${var.name}-too-few-tasks"
  alarm_description   = "Fewer healthy tasks than the smallest number"
  threshold           = var.tasks_min
  comparison_operator = "LessThanThreshold"
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "healthy"
    label       = "Healthy tasks"
    expression  = "FILL(blue, 0) + FILL(green, 0)"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = aws_lb_target_group.server

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = "HealthyHostCount"
        stat        = "Minimum"
        period      = 60
        dimensions  = merge(local.balancer, { TargetGroup = metric_query.value.arn_suffix })
      }
    }
  }
}

locals {
  # Title, then the metrics: namespace, metric, dimension pairs, statistic.
  graphs = [
    ["Requests", "Sum", [["AWS/ApplicationELB", "RequestCount", "LoadBalancer", aws_lb.this.arn_suffix]]],
    ["Errors", "Sum", [for metric in ["HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"] :
    ["AWS/ApplicationELB", metric, "LoadBalancer", aws_lb.this.arn_suffix]]],
    ["Response time, 99 of 100 (s)", "p99", [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", aws_lb.this.arn_suffix]]],
    ["Healthy tasks", "Minimum", [for color, group in aws_lb_target_group.server :
    ["AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", group.arn_suffix, "LoadBalancer", aws_lb.this.arn_suffix]]],
    ["Tasks (%)", "Average", [for metric in ["CPUUtilization", "MemoryUtilization"] :
    ["AWS/ECS", metric, "ClusterName", var.name, "ServiceName", var.name]]],
    ["Database (%)", "Average", [["AWS/RDS", "CPUUtilization", keys(var.database_identifier)[0], values(var.database_identifier)[0]]]],
    ["DynamoDB writes (units)", "Sum", [for table in values(var.table_names) : ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", table]]],
    ["Cache (%)", "Maximum", [for node in var.cache_node_ids : ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", node]]],
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [for index, graph in local.graphs : {
      type   = "metric"
      x      = (index % 2) * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = graph[0]
        stat    = graph[1]
        metrics = graph[2]
        region  = data.aws_region.current.region
        period  = 60
        view    = "timeSeries"
      }
    }]
  })
}
