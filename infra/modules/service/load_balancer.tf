# The load balancer, its certificate and its name.

locals {
  idle_timeout_seconds = 60
  has_domain           = var.domain != null
  domain               = local.has_domain ? var.domain.name : null
}

resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  security_groups    = [var.security_group_ids.load_balancer]
  subnets            = var.public_subnet_ids

  idle_timeout               = local.idle_timeout_seconds
  drop_invalid_header_fields = true
  enable_deletion_protection = var.protect
}

# Two target groups that take turns: one has the serving tasks, the other the next tasks.
resource "aws_lb_target_group" "server" {
  for_each = toset(["blue", "green"])

  name                          = "${var.name}-${each.key}"
  vpc_id                        = var.vpc_id
  target_type                   = "ip"
  port                          = var.port
  protocol                      = "HTTP"
  deregistration_delay          = var.deregistration_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"

  # A new task is healthy quickly. An old one becomes unhealthy slowly, so that the fail-over of a store does not replace every task.
  health_check {
    path                = "/readyz"
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 10
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = local.has_domain ? "redirect" : "fixed-response"

    dynamic "redirect" {
      for_each = local.has_domain ? [1] : []

      content {
        port        = "443"
        protocol    = "HTTPS"
        status_code = "HTTP_301"
      }
    }
    dynamic "fixed_response" {
      for_each = local.has_domain ? [] : [1]

      content {
        content_type = "text/plain"
        message_body = "No rule leads anywhere."
        status_code  = "404"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count = local.has_domain ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate_validation.this[0].certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "No rule leads anywhere."
      status_code  = "404"
    }
  }
}

# The rule that a deployment switches from one target group to the other.
resource "aws_lb_listener_rule" "production" {
  listener_arn = local.has_domain ? aws_lb_listener.https[0].arn : aws_lb_listener.http.arn
  priority     = 1

  condition {
    path_pattern {
      values = ["/*"]
    }
  }

  action {
    type = "forward"

    forward {
      target_group {
        arn    = aws_lb_target_group.server["blue"].arn
        weight = 100
      }
      target_group {
        arn    = aws_lb_target_group.server["green"].arn
        weight = 0
      }
    }
  }

  lifecycle {
    # ECS changes it.
    ignore_changes = [action]
  }
}

# --- The domain

data "aws_route53_zone" "this" {
  count = local.has_domain ? 1 : 0

  name = var.domain.zone
}

resource "aws_acm_certificate" "this" {
  count = local.has_domain ? 1 : 0

  domain_name       = local.domain
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  for_each = local.has_domain ? {
    for option in aws_acm_certificate.this[0].domain_validation_options : option.domain_name => option
  } : {}

  zone_id         = data.aws_route53_zone.this[0].zone_id
  name            = each.value.resource_record_name
  type            = each.value.resource_record_type
  records         = [each.value.resource_record_value]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = local.has_domain ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

resource "aws_route53_record" "server" {
  count = local.has_domain ? 1 : 0

  zone_id = data.aws_route53_zone.this[0].zone_id
  name    = local.domain
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
