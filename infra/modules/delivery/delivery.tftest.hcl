# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  name        = "fieldstation-prod"
  environment = "prod"
  approval    = true
  service_url = "https://telemetry.example.test"
  source_code = {
    kind           = "github"
    repository     = "example/fieldstation"
    connection_arn = "arn:aws:codeconnections:us-east-1:123456789012:connection/00000000-0000-0000-0000-000000000000"
  }
}

run "policies_name_what_they_allow" {
  command = apply

  assert {
    condition = alltrue(flatten([
      for policy in concat([aws_iam_role_policy.pipeline], values(aws_iam_role_policy.build)) : [
        for statement in jsondecode(policy.policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
      ]
    ]))
    error_message = "A policy allows actions by a pattern."
  }
  # The first two actions support no resource-level permissions; a condition limits the third to the cluster.
  assert {
    condition = alltrue(flatten([
      for policy in concat([aws_iam_role_policy.pipeline], values(aws_iam_role_policy.build)) : [
        for statement in jsondecode(policy.policy).Statement :
        !contains(flatten([statement.Resource]), "*") || contains(["TaskDefinitions", "RegistryLogin"], statement.Sid) || (statement.Sid == "Tasks" && can(statement.Condition.ArnEquals["ecs:cluster"]))
      ]
    ]))
    error_message = "A policy allows an action on every resource."
  }
  assert {
    condition = alltrue([
      for key in ["test", "verify"] : alltrue([for statement in jsondecode(aws_iam_role_policy.build[key].policy).Statement : statement.Sid != "Push"])
    ])
    error_message = "A build that runs tests may push images."
  }
  assert {
    condition     = !aws_codebuild_project.this["test"].environment[0].privileged_mode && !aws_codebuild_project.this["verify"].environment[0].privileged_mode
    error_message = "A build that needs no Docker is privileged."
  }
}

run "artifacts_are_private_and_encrypted" {
  command = plan

  assert {
    condition     = aws_s3_bucket_public_access_block.artifacts.block_public_policy && aws_s3_bucket_public_access_block.artifacts.restrict_public_buckets && aws_s3_bucket_public_access_block.artifacts.block_public_acls && aws_s3_bucket_public_access_block.artifacts.ignore_public_acls
    error_message = "Artifacts could be made public."
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.artifacts.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "Artifacts are not encrypted."
  }
}

run "somebody_agrees_before_production" {
  command = plan

  assert {
    condition     = [for stage in aws_codepipeline.this.stage : stage.name] == ["Source", "Build", "Approval", "Deploy"]
    error_message = "No approval is asked for before the deployment."
  }
  assert {
    condition     = aws_codepipeline.this.stage[3].on_failure[0].result == "ROLLBACK"
    error_message = "A failed deployment is not rolled back."
  }
}

run "codecommit_without_approval" {
  command = plan

  variables {
    source_code = { kind = "codecommit", repository = "fieldstation" }
    approval    = false
  }
  assert {
    condition     = [for stage in aws_codepipeline.this.stage : stage.name] == ["Source", "Build", "Deploy"] && length(aws_cloudwatch_event_rule.push) == 1
    error_message = "A push does not start the pipeline."
  }
}

run "github_without_a_connection_is_refused" {
  command = plan

  variables {
    source_code = { kind = "github", repository = "example/fieldstation" }
  }
  expect_failures = [var.source_code]
}

run "another_source_is_refused" {
  command = plan

  variables {
    source_code = { kind = "ftp", repository = "fieldstation" }
  }
  expect_failures = [var.source_code]
}
