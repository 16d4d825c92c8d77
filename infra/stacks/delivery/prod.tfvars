environment = "prod"
region      = "us-east-1"

# Set one of these, or both:
# source_code       = { kind = "github", repository = "OWNER/NAME", connection_arn = "arn:aws:codeconnections:…" }
# github_repository = "OWNER/NAME"
