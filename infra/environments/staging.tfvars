# What every stack of staging is told.
environment = "staging"
region      = "us-east-1"
tags        = {}
