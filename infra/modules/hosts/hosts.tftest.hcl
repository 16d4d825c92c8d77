# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  name        = "fieldstation-dev"
  service_url = "http://station.example.test"
  hosts = {
    barn  = { system = "amazon-linux" }
    field = { system = "ubuntu", interval_seconds = 1 }
    mill  = { system = "rhel" }
    yard  = { system = "windows" }
  }
}

run "nothing_reaches_the_machines" {
  command = plan

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.in) == 0 && length(aws_default_security_group.closed.ingress) == 0
    error_message = "A machine can be reached."
  }
  assert {
    condition     = alltrue([for host in aws_instance.host : host.metadata_options[0].http_tokens == "required" && host.root_block_device[0].encrypted])
    error_message = "A machine answers version 1 metadata requests, or has an unencrypted disk."
  }
  assert {
    condition     = aws_iam_role_policy_attachment.session_manager.policy_arn == "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    error_message = "Session Manager cannot connect."
  }
}

run "every_system_sends_to_the_service" {
  command = plan

  assert {
    condition     = alltrue([for name, host in aws_instance.host : strcontains(host.user_data, "http://station.example.test/api/temperature") && strcontains(host.user_data, "fieldstation-dev-${name}")])
    error_message = "A machine sends nothing, or under another name."
  }
  assert {
    condition     = startswith(aws_instance.host["yard"].user_data, "<powershell>") && startswith(aws_instance.host["barn"].user_data, "#!/bin/bash")
    error_message = "A machine gets a script that its system does not understand."
  }
  assert {
    condition     = strcontains(aws_instance.host["mill"].user_data, "amazon-ssm-agent.rpm") && !strcontains(aws_instance.host["barn"].user_data, "amazon-ssm-agent.rpm")
    error_message = "The agent is not installed where it is missing, and only there."
  }
}

run "no_hosts_by_default" {
  command = plan

  variables {
    hosts = {}
  }
  assert {
    condition     = length(aws_instance.host) == 0
    error_message = "There are machines that were not requested."
  }
}

run "the_whole_internet_is_refused" {
  command = plan

  variables {
    ingress = { cidrs = ["0.0.0.0/0"], ports = [22] }
  }
  expect_failures = [var.ingress]
}

run "an_unknown_system_is_refused" {
  command = plan

  variables {
    hosts = { barn = { system = "solaris" } }
  }
  expect_failures = [var.hosts]
}

run "a_url_that_would_break_the_script_is_refused" {
  command = plan

  variables {
    service_url = "http://station.example.test/'; reboot; '"
  }
  expect_failures = [var.service_url]
}
