# Optional: machines that send readings like a fleet.

module "hosts" {
  source = "../../modules/hosts"

  name        = local.name
  hosts       = var.hosts
  cidr        = var.network_cidr
  ingress     = var.ingress
  service_url = coalesce(var.service_url, try("http://${data.aws_lb.server[0].dns_name}", null))
}

# Without a domain in the server stack, the load balancer's name is the URL.
data "aws_lb" "server" {
  count = var.service_url == null ? 1 : 0

  name = local.name
}
