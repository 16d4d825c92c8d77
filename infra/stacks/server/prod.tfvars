environment = "prod"
region      = "us-east-1"

# Three zones, and the outage of one zone stops nothing.
zone_count         = 3
nat                = "per_zone"
tasks              = { cpu = 1024, memory_mib = 2048, min = 3, max = 12 }
database           = { instance_class = "db.t4g.small", multi_az = true, backup_days = 14 }
cache              = { nodes = 2, snapshot_days = 7 }
bake_minutes       = 10
container_insights = true
log_days           = 90
