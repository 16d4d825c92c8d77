environment = "dev"
region      = "us-east-1"

hosts = {
  barn  = { system = "amazon-linux" }
  field = { system = "ubuntu", interval_seconds = 1 }
  mill  = { system = "rhel", interval_seconds = 60 }
  yard  = { system = "windows" }
}
