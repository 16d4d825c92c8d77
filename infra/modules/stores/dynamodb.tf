# Readings and their statistics. The table names follow from the URL `dynamodb://PREFIX`.

locals {
  tables = {
    readings     = { name = "${var.name}-temperature-readings", hash = "sensor_id", range = "timestamp" }
    aggregations = { name = "${var.name}-temperature-readings-aggregation", hash = "aggregation_period", range = "cell" }
  }
}

resource "aws_dynamodb_table" "this" {
  for_each = local.tables

  name         = each.value.name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = each.value.hash
  range_key    = each.value.range

  attribute {
    name = each.value.hash
    type = "S"
  }
  attribute {
    name = each.value.range
    type = "S"
  }

  # Restores to any second of the last 35 days.
  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }

  deletion_protection_enabled = local.protected
}
