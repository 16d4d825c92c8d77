# Todos: either a PostgreSQL instance, or an Aurora cluster that scales with the load.
#
# The password comes in an ephemeral variable and goes into write-only arguments, so neither plan nor state contains it.
# Only a principal that may read the secret can read the todos.

locals {
  aurora   = var.database.kind == "aurora"
  database = "fieldstation"
  user     = "fieldstation"

  postgresql_major = split(".", var.database.version)[0]
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.private_subnet_ids
}

# Unique for each database ever created: a final snapshot stays, and keeps its name.
resource "random_id" "final_snapshot" {
  byte_length = 4
}

resource "aws_db_parameter_group" "tls" {
  count = local.aurora ? 0 : 1

  name_prefix = "${var.name}-"
  family      = "postgres${local.postgresql_major}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  count = local.aurora ? 0 : 1

  identifier     = var.name
  engine         = "postgres"
  engine_version = var.database.version
  instance_class = var.database.instance_class

  allocated_storage     = 20
  max_allocated_storage = 100
  storage_type          = "gp3"
  storage_encrypted     = true

  db_name             = local.database
  username            = local.user
  password_wo         = var.database_password
  password_wo_version = var.database_password_version

  multi_az               = var.database.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [var.security_group_ids.database]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.tls[0].name

  backup_retention_period         = var.database.backup_days
  copy_tags_to_snapshot           = true
  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = ["postgresql"]

  deletion_protection       = local.protected
  skip_final_snapshot       = !var.protect
  final_snapshot_identifier = "${var.name}-final-${random_id.final_snapshot.hex}"
}

resource "aws_rds_cluster_parameter_group" "tls" {
  count = local.aurora ? 1 : 0

  name_prefix = "${var.name}-"
  family      = "aurora-postgresql${local.postgresql_major}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_rds_cluster" "this" {
  count = local.aurora ? 1 : 0

  cluster_identifier = var.name
  engine             = "aurora-postgresql"
  engine_version     = var.database.version
  engine_mode        = "provisioned"
  storage_encrypted  = true

  database_name              = local.database
  master_username            = local.user
  master_password_wo         = var.database_password
  master_password_wo_version = var.database_password_version

  db_subnet_group_name            = aws_db_subnet_group.this.name
  vpc_security_group_ids          = [var.security_group_ids.database]
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.tls[0].name

  backup_retention_period         = var.database.backup_days
  copy_tags_to_snapshot           = true
  enabled_cloudwatch_logs_exports = ["postgresql"]

  deletion_protection       = local.protected
  skip_final_snapshot       = !var.protect
  final_snapshot_identifier = "${var.name}-final-${random_id.final_snapshot.hex}"

  serverlessv2_scaling_configuration {
    min_capacity = 0.5
    max_capacity = var.database.aurora_capacity_max
  }
}

resource "aws_rds_cluster_instance" "this" {
  # The second instance, in another zone, takes over from the first.
  count = local.aurora ? (var.database.multi_az ? 2 : 1) : 0

  identifier           = "${var.name}-${count.index + 1}"
  cluster_identifier   = aws_rds_cluster.this[0].id
  engine               = aws_rds_cluster.this[0].engine
  engine_version       = aws_rds_cluster.this[0].engine_version
  instance_class       = "db.serverless"
  db_subnet_group_name = aws_db_subnet_group.this.name
  publicly_accessible  = false
  ca_cert_identifier   = "rds-ca-rsa2048-g1"
}

locals {
  database_address = local.aurora ? one(aws_rds_cluster.this[*].endpoint) : one(aws_db_instance.this[*].address)
}

# The whole URL, because the server's setting is a URL.
resource "aws_secretsmanager_secret" "todos_url" {
  # A deleted secret keeps its name for some days, so each secret has a unique name.
  name_prefix = "${var.name}/todos-url-"
  description = "FIELDSTATION_TODOS of ${var.name}: the database with its password"

  recovery_window_in_days = var.protect ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "todos_url" {
  secret_id                = aws_secretsmanager_secret.todos_url.id
  secret_string_wo         = var.database_password == null ? null : "postgres://${local.user}:${var.database_password}@${local.database_address}:5432/${local.database}?sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"
  secret_string_wo_version = var.database_password_version
}
