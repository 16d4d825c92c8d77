environment = "staging"
region      = "us-east-1"

# Like production in everything that a deployment could break, but small.
nat             = "one"
tasks           = { min = 2, max = 4, spot = true }
bake_minutes    = 3
execute_command = true
log_days        = 14
