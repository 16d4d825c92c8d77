output "repository_url" {
  description = "The address to push images to."
  value       = module.registry.repository_url
}

output "platform" {
  description = "The platform to build images for, as Docker names it."
  value       = var.architecture == "ARM64" ? "linux/arm64" : "linux/amd64"
}
