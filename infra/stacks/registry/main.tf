# Images, before there is anything that runs them.

module "registry" {
  source = "../../modules/registry"

  name          = local.name
  allow_removal = var.allow_removal
}
