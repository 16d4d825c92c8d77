# What every stack of dev is told.
environment = "dev"
region      = "us-east-1"
tags        = {}
