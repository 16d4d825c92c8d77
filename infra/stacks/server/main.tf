# An environment: its network, its stores, and the server.

module "network" {
  source = "../../modules/network"

  name          = local.name
  cidr          = var.network_cidr
  zone_count    = var.zone_count
  nat           = var.nat
  ingress_cidrs = var.ingress_cidrs
  service_port  = local.port
}

module "stores" {
  source = "../../modules/stores"

  name                      = local.name
  private_subnet_ids        = module.network.private_subnet_ids
  security_group_ids        = module.network.security_group_ids
  protect                   = local.protect
  allow_removal             = var.allow_removal
  database                  = var.database
  database_password         = var.database_password
  database_password_version = var.database_password_version
  cache                     = var.cache
}

# Created by the registry stack, before the first image.
data "aws_ecr_repository" "server" {
  name = local.name
}

data "aws_ecr_image" "pushed_last" {
  count = var.image == null ? 1 : 0

  repository_name = data.aws_ecr_repository.server.name
  most_recent     = true
}

module "service" {
  source = "../../modules/service"

  name           = local.name
  environment    = var.environment
  image          = local.image
  repository_arn = data.aws_ecr_repository.server.arn

  vpc_id             = module.network.vpc_id
  public_subnet_ids  = module.network.public_subnet_ids
  task_subnet_ids    = module.network.task_subnet_ids
  public_addresses   = module.network.tasks_need_public_addresses
  security_group_ids = module.network.security_group_ids
  domain             = var.domain

  readings_url         = module.stores.readings_url
  files_url            = module.stores.files_url
  greeting_url         = module.stores.greeting_url
  todos_url_secret_arn = module.stores.todos_url_secret_arn
  todos_url_version    = var.database_password_version
  table_arns           = module.stores.table_arns
  table_names          = module.stores.table_names
  bucket_arn           = module.stores.bucket_arn
  database_identifier  = module.stores.database_identifier
  cache_node_ids       = module.stores.cache_node_ids

  port               = local.port
  architecture       = var.architecture
  cpu                = var.tasks.cpu
  memory_mib         = var.tasks.memory_mib
  tasks_min          = var.tasks.min
  tasks_max          = var.tasks.max
  spot               = var.tasks.spot
  bake_minutes       = var.bake_minutes
  execute_command    = var.execute_command
  container_insights = var.container_insights
  log_days           = var.log_days
  alarm_emails       = var.alarm_emails
  protect            = local.protect && !var.allow_removal
}

locals {
  port    = 5000
  protect = var.environment == "prod"

  # By digest in every case.
  image = coalesce(var.image, try("${data.aws_ecr_repository.server.repository_url}@${data.aws_ecr_image.pushed_last[0].image_digest}", null))
}
