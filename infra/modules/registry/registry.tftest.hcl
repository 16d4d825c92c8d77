# Runs on a mock of the provider, without an account. AWS's own provider would create real resources, so it gets no credentials.
provider "aws" {
  region     = "us-east-1"
  access_key = "none"
  secret_key = "none"
}

variables {
  name = "fieldstation-dev"
}

run "images_cannot_be_replaced_and_are_scanned" {
  command = plan

  assert {
    condition     = aws_ecr_repository.server.image_tag_mutability == "IMMUTABLE"
    error_message = "A tag could be moved to another image."
  }
  assert {
    condition     = aws_ecr_repository.server.image_scanning_configuration[0].scan_on_push
    error_message = "Images are not scanned."
  }
  assert {
    condition     = one(aws_ecr_repository.server.encryption_configuration).encryption_type == "AES256"
    error_message = "Images are not encrypted."
  }
  assert {
    condition     = !aws_ecr_repository.server.force_delete
    error_message = "A repository with images could be destroyed by mistake."
  }
}

run "one_image_is_too_few" {
  command = plan

  variables {
    images_kept = 1
  }
  expect_failures = [var.images_kept]
}
