# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  name        = "fieldstation-staging"
  environment = "staging"
  repository  = "example/fieldstation"
}

run "only_one_repository_and_environment_may_deploy" {
  command = apply

  assert {
    condition     = jsondecode(aws_iam_role.github.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:example/fieldstation:environment:staging"
    error_message = "Other repositories, or branches past the approval, may deploy."
  }
  assert {
    condition     = jsondecode(aws_iam_role.github.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    error_message = "A token for another audience is accepted."
  }
}

run "policies_name_what_they_allow" {
  command = apply

  # Only read actions may be allowed by a pattern.
  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_policy.deploy : [
        for statement in jsondecode(policy.policy).Statement : [
          for action in flatten([statement.Action]) : !strcontains(action, "*") || contains(["ec2:Describe*", "rds:Describe*", "elasticache:Describe*", "dynamodb:Describe*", "elasticloadbalancing:Describe*", "cloudwatch:Describe*", "application-autoscaling:Describe*", "s3:Get*"], action)
        ]
      ]
    ]))
    error_message = "A policy allows changes by a pattern."
  }
  # List actions cannot be narrowed, a task definition has no name before its creation, and a random password has no resource.
  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_policy.deploy : [
        for statement in jsondecode(policy.policy).Statement : !contains(flatten([statement.Resource]), "*") || contains(["Look", "TaskDefinitionsHaveNoNamesHere", "DrawAPassword"], statement.Sid)
      ]
    ]))
    error_message = "A policy allows an action on every resource."
  }
  # The limit of IAM, which does not count white space.
  assert {
    condition     = alltrue([for policy in aws_iam_policy.deploy : length(replace(policy.policy, "/\\s/", "")) <= 6144])
    error_message = "A policy exceeds IAM's length limit."
  }
}

run "a_pattern_of_repositories_is_refused" {
  command = plan

  variables {
    repository = "example/*"
  }
  expect_failures = [var.repository]
}
