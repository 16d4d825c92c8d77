# What every stack of prod is told.
environment = "prod"
region      = "us-east-1"
tags        = {}
