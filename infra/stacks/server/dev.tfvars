environment = "dev"
region      = "us-east-1"

# The cheapest complete environment: one task on spare capacity, in a public subnet with an address of its own.
nat             = "none"
tasks           = { min = 1, max = 2, spot = true }
bake_minutes    = 3
execute_command = true
log_days        = 7
