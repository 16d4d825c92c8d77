# The registry for images. It comes before the server.

module "registry" {
  source = "../../modules/registry"

  name          = local.name
  allow_removal = var.allow_removal
}
