# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  environment       = "prod"
  region            = "us-east-1"
  image             = "123456789012.dkr.ecr.us-east-1.amazonaws.com/fieldstation-prod@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  database_password = "000000000000000000000000TEST"
}

run "the_parts_fit_together" {
  command = apply

  assert {
    condition     = output.readings_url == "dynamodb://fieldstation-prod?region=us-east-1"
    error_message = "The server's table names differ."
  }
  assert {
    condition     = startswith(output.url, "http://")
    error_message = "The output has no URL."
  }
}

run "an_unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "production"
  }
  expect_failures = [var.environment]
}

run "a_region_that_is_none_is_refused" {
  command = plan

  variables {
    region = "Virginia"
  }
  expect_failures = [var.region]
}
