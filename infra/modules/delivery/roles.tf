# A role for the pipeline, one for each build, and one for the event of a push.

data "aws_iam_policy_document" "assumed_by" {
  for_each = toset(["codepipeline", "codebuild", "events"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "artifacts" {
  statement {
    sid       = "Artifacts"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
    resources = ["${aws_s3_bucket.artifacts.arn}/*"]
  }
  statement {
    sid       = "ArtifactBucket"
    actions   = ["s3:GetBucketLocation", "s3:GetBucketVersioning"]
    resources = [aws_s3_bucket.artifacts.arn]
  }
}

data "aws_iam_policy_document" "pipeline" {
  source_policy_documents = [data.aws_iam_policy_document.artifacts.json]

  dynamic "statement" {
    for_each = local.is_github ? [1] : []

    content {
      sid       = "Source"
      actions   = ["codeconnections:UseConnection", "codestar-connections:UseConnection"]
      resources = [var.source_code.connection_arn]
    }
  }
  dynamic "statement" {
    for_each = local.is_github ? [] : [1]

    content {
      sid       = "Source"
      actions   = ["codecommit:CancelUploadArchive", "codecommit:GetBranch", "codecommit:GetCommit", "codecommit:GetUploadArchiveStatus", "codecommit:UploadArchive"]
      resources = [local.codecommit_arn]
    }
  }
  statement {
    sid       = "Builds"
    actions   = ["codebuild:BatchGetBuilds", "codebuild:StartBuild"]
    resources = [for project in aws_codebuild_project.this : project.arn]
  }
  statement {
    sid       = "Deploy"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = [local.service_arn]
  }
  statement {
    sid       = "DeployTags"
    actions   = ["ecs:TagResource"]
    resources = ["arn:aws:ecs:${local.region}:${local.account}:task-definition/${var.name}:*"]
  }
  statement {
    sid     = "TaskDefinitions"
    actions = ["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"]
    # These actions support no resource-level permissions. The PassRole statement below limits the roles of a new task definition.
    resources = ["*"]
  }
  statement {
    sid       = "Tasks"
    actions   = ["ecs:DescribeTasks", "ecs:ListTasks"]
    resources = ["*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = ["arn:aws:ecs:${local.region}:${local.account}:cluster/${var.name}"]
    }
  }
  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = [for role in ["task", "execution"] : "arn:aws:iam::${local.account}:role/${var.name}-${role}"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "pipeline" {
  name               = "${var.name}-pipeline"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["codepipeline"].json
}

resource "aws_iam_role_policy" "pipeline" {
  name   = "pipeline"
  role   = aws_iam_role.pipeline.id
  policy = data.aws_iam_policy_document.pipeline.json
}

data "aws_iam_policy_document" "build" {
  for_each = local.builds

  source_policy_documents = [data.aws_iam_policy_document.artifacts.json]

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.builds.arn}:*"]
  }

  # Only the build of the image may push, and no pushed image can be replaced.
  dynamic "statement" {
    for_each = each.key == "image" ? [1] : []

    content {
      sid = "Push"
      actions = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImages",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
      ]
      resources = [local.repository_arn]
    }
  }
  dynamic "statement" {
    for_each = each.key == "image" ? [1] : []

    content {
      sid     = "RegistryLogin"
      actions = ["ecr:GetAuthorizationToken"]
      # One token for all repositories; the action supports no resource-level permissions.
      resources = ["*"]
    }
  }
}

resource "aws_iam_role" "build" {
  for_each = local.builds

  name               = "${var.name}-build-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["codebuild"].json
}

resource "aws_iam_role_policy" "build" {
  for_each = local.builds

  name   = "build"
  role   = aws_iam_role.build[each.key].id
  policy = data.aws_iam_policy_document.build[each.key].json
}

data "aws_iam_policy_document" "push" {
  statement {
    actions   = ["codepipeline:StartPipelineExecution"]
    resources = [aws_codepipeline.this.arn]
  }
}

resource "aws_iam_role" "push" {
  count = local.is_github ? 0 : 1

  name               = "${var.name}-push"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["events"].json
}

resource "aws_iam_role_policy" "push" {
  count = local.is_github ? 0 : 1

  name   = "start"
  role   = aws_iam_role.push[0].id
  policy = data.aws_iam_policy_document.push.json
}
