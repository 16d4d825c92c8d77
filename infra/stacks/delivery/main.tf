# Optional: a pipeline in AWS, and the role with which GitHub Actions deploys.

module "delivery" {
  source = "../../modules/delivery"
  count  = var.source_code == null ? 0 : 1

  name         = local.name
  environment  = var.environment
  source_code  = var.source_code
  approval     = var.environment == "prod"
  architecture = var.architecture
  service_url  = coalesce(var.service_url, try("http://${data.aws_lb.server[0].dns_name}", null))
}

# Without a domain in the server stack, the load balancer's name is the URL.
data "aws_lb" "server" {
  count = var.source_code != null && var.service_url == null ? 1 : 0

  name = local.name
}

module "deployer" {
  source = "../../modules/deployer"
  count  = var.github_repository == null ? 0 : 1

  name            = local.name
  environment     = var.environment
  repository      = var.github_repository
  provider_exists = var.github_provider_exists
}
