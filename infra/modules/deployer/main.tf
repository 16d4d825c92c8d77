# The role that deploys an environment from GitHub Actions. Only jobs of one repository and one GitHub environment can assume it,
# for an hour at a time, without a stored key.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  issuer = "token.actions.githubusercontent.com"

  # The same policy documents as in docs/how-to/grant-the-right-to-deploy.md gives to people.
  policies = {
    for name in ["network", "stores", "service", "watch"] : name => templatefile("${path.module}/../../policies/${name}.json", {
      account     = data.aws_caller_identity.current.account_id
      region      = data.aws_region.current.region
      environment = var.environment
      name        = var.name
    })
  }
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.provider_exists ? 0 : 1

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:oidc-provider/${local.issuer}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
    # GitHub asks for approval per environment, so the trust names the environment.
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["repo:${var.repository}:environment:${var.environment}"]
    }
  }
}

resource "aws_iam_role" "github" {
  name                 = "${var.name}-github"
  description          = "Deploys ${var.name} from GitHub Actions"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  max_session_duration = 3600

  depends_on = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_policy" "deploy" {
  for_each = local.policies

  name   = "${var.name}-deploy-${each.key}"
  policy = each.value
}

resource "aws_iam_role_policy_attachment" "deploy" {
  for_each = local.policies

  role       = aws_iam_role.github.name
  policy_arn = aws_iam_policy.deploy[each.key].arn
}
