# Who deploys an environment from GitHub Actions: a role that only jobs of one repository and one GitHub environment can assume,
# for an hour, with no key stored anywhere.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  issuer = "token.actions.githubusercontent.com"

  # The same documents as docs/how-to/grant-the-right-to-deploy.md gives to people.
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
    # The environment is where GitHub asks for the approval, so nothing gets past it.
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
