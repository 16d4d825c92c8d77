# Made for a stand-in of the provider that answers without an account. AWS's own would make things for real, so it gets no credentials.
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
    error_message = "A token that was made for somebody else is taken."
  }
}

run "policies_name_what_they_allow" {
  command = apply

  # Reading may be allowed by a pattern, and nothing else.
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
  # Lists cannot be narrowed, task definitions have no name yet when they are made, and a random password is of no resource.
  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_policy.deploy : [
        for statement in jsondecode(policy.policy).Statement : !contains(flatten([statement.Resource]), "*") || contains(["Look", "TaskDefinitionsHaveNoNamesHere", "DrawAPassword"], statement.Sid)
      ]
    ]))
    error_message = "A policy allows something on every resource."
  }
  # What IAM takes, which counts without white space.
  assert {
    condition     = alltrue([for policy in aws_iam_policy.deploy : length(replace(policy.policy, "/\\s/", "")) <= 6144])
    error_message = "A policy is longer than IAM takes."
  }
}

run "a_pattern_of_repositories_is_refused" {
  command = plan

  variables {
    repository = "example/*"
  }
  expect_failures = [var.repository]
}
