# From a push to a running server: source → tests → image → (approval) → deployment → functional test.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.region
  is_github = var.source_code.kind == "github"

  repository_arn = "arn:aws:ecr:${local.region}:${local.account}:repository/${var.name}"
  repository_url = "${local.account}.dkr.ecr.${local.region}.amazonaws.com/${var.name}"
  codecommit_arn = "arn:aws:codecommit:${local.region}:${local.account}:${var.source_code.repository}"
  service_arn    = "arn:aws:ecs:${local.region}:${local.account}:service/${var.name}/${var.name}"

  # AWS's own image, which has Docker and the AWS command line.
  build_image = var.architecture == "ARM64" ? "aws/codebuild/amazonlinux-aarch64-standard:3.0" : "aws/codebuild/amazonlinux-x86_64-standard:5.0"

  # The CodeBuild projects, each with its buildspec in infra/buildspecs. The tests run on Debian, where test.sh can install the
  # databases it needs. The Rust version is the one in rust-toolchain.toml.
  builds = {
    test   = { privileged = false, image = "public.ecr.aws/docker/library/rust:1.95.0-bookworm", description = "Every test of the project" }
    image  = { privileged = true, image = local.build_image, description = "Builds the image and pushes it" }
    verify = { privileged = false, image = local.build_image, description = "Uses every route of the deployed server" }
  }
}

# --- The artifacts that stages pass on

resource "aws_s3_bucket" "artifacts" {
  bucket        = "${var.name}-delivery-${local.account}"
  force_destroy = true # Nothing in it is the only one of its kind.
}

resource "aws_s3_bucket_public_access_block" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  rule {
    id     = "forget"
    status = "Enabled"

    filter {}

    expiration {
      days = 30
    }
  }
}

# --- Builds

resource "aws_cloudwatch_log_group" "builds" {
  name              = "/fieldstation/${var.environment}/delivery"
  retention_in_days = 30
}

resource "aws_codebuild_project" "this" {
  for_each = local.builds

  name           = "${var.name}-${each.key}"
  description    = each.value.description
  service_role   = aws_iam_role.build[each.key].arn
  build_timeout  = 60
  queued_timeout = 60

  source {
    type      = "CODEPIPELINE"
    buildspec = "infra/buildspecs/${each.key}.yml"
  }
  artifacts {
    type = "CODEPIPELINE"
  }

  # The machine keeps Docker layers and cargo's output for the next build, if that follows soon.
  cache {
    type  = "LOCAL"
    modes = each.value.privileged ? ["LOCAL_DOCKER_LAYER_CACHE"] : ["LOCAL_CUSTOM_CACHE"]
  }

  environment {
    type            = var.architecture == "ARM64" ? "ARM_CONTAINER" : "LINUX_CONTAINER"
    image           = each.value.image
    compute_type    = each.key == "verify" ? "BUILD_GENERAL1_SMALL" : "BUILD_GENERAL1_LARGE"
    privileged_mode = each.value.privileged
    # CodeBuild's own credentials can pull only AWS's images.
    image_pull_credentials_type = startswith(each.value.image, "aws/") ? "CODEBUILD" : "SERVICE_ROLE"

    environment_variable {
      name  = "REPOSITORY_URL"
      value = local.repository_url
    }
    environment_variable {
      name  = "SERVICE_URL"
      value = var.service_url
    }
  }

  logs_config {
    cloudwatch_logs {
      group_name  = aws_cloudwatch_log_group.builds.name
      stream_name = each.key
    }
  }
}

# --- The pipeline

resource "aws_codepipeline" "this" {
  name           = var.name
  role_arn       = aws_iam_role.pipeline.arn
  pipeline_type  = "V2"
  execution_mode = "QUEUED"

  artifact_store {
    type     = "S3"
    location = aws_s3_bucket.artifacts.bucket
  }

  stage {
    name = "Source"

    action {
      name             = "Source"
      category         = "Source"
      owner            = "AWS"
      provider         = local.is_github ? "CodeStarSourceConnection" : "CodeCommit"
      version          = "1"
      output_artifacts = ["source"]
      configuration = local.is_github ? {
        ConnectionArn        = var.source_code.connection_arn
        FullRepositoryId     = var.source_code.repository
        BranchName           = var.source_code.branch
        DetectChanges        = "true"
        OutputArtifactFormat = "CODE_ZIP"
        } : {
        RepositoryName       = var.source_code.repository
        BranchName           = var.source_code.branch
        PollForSourceChanges = "false"
        OutputArtifactFormat = "CODE_ZIP"
      }
    }
  }

  stage {
    name = "Build"

    action {
      name            = "Test"
      category        = "Test"
      owner           = "AWS"
      provider        = "CodeBuild"
      version         = "1"
      run_order       = 1
      input_artifacts = ["source"]
      configuration   = { ProjectName = aws_codebuild_project.this["test"].name }
    }
    action {
      name             = "Image"
      category         = "Build"
      owner            = "AWS"
      provider         = "CodeBuild"
      version          = "1"
      run_order        = 2
      input_artifacts  = ["source"]
      output_artifacts = ["image"]
      configuration    = { ProjectName = aws_codebuild_project.this["image"].name }
    }
  }

  dynamic "stage" {
    for_each = var.approval ? [1] : []

    content {
      name = "Approval"

      action {
        name          = "Approve"
        category      = "Approval"
        owner         = "AWS"
        provider      = "Manual"
        version       = "1"
        configuration = { CustomData = "Deploy to ${var.environment}?" }
      }
    }
  }

  stage {
    name = "Deploy"

    # When the deployment or its test fails, the previous image is deployed again.
    on_failure {
      result = "ROLLBACK"
    }

    action {
      name            = "Deploy"
      category        = "Deploy"
      owner           = "AWS"
      provider        = "ECS"
      version         = "1"
      run_order       = 1
      input_artifacts = ["image"]
      configuration = {
        ClusterName       = var.name
        ServiceName       = var.name
        FileName          = "imagedefinitions.json"
        DeploymentTimeout = "60"
      }
    }
    action {
      name            = "Verify"
      category        = "Test"
      owner           = "AWS"
      provider        = "CodeBuild"
      version         = "1"
      run_order       = 2
      input_artifacts = ["source"]
      configuration   = { ProjectName = aws_codebuild_project.this["verify"].name }
    }
  }
}

# CodeCommit reports a push to EventBridge, which starts the pipeline. A connection to GitHub starts it directly.
resource "aws_cloudwatch_event_rule" "push" {
  count = local.is_github ? 0 : 1

  name        = "${var.name}-push"
  description = "A push to ${var.source_code.branch}"
  event_pattern = jsonencode({
    source      = ["aws.codecommit"]
    detail-type = ["CodeCommit Repository State Change"]
    resources   = [local.codecommit_arn]
    detail      = { event = ["referenceCreated", "referenceUpdated"], referenceType = ["branch"], referenceName = [var.source_code.branch] }
  })
}

resource "aws_cloudwatch_event_target" "push" {
  count = local.is_github ? 0 : 1

  rule     = aws_cloudwatch_event_rule.push[0].name
  arn      = aws_codepipeline.this.arn
  role_arn = aws_iam_role.push[0].arn
}
