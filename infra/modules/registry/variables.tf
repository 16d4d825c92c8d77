variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "images_kept" {
  description = "How many images stay: as far back as a roll-back may go."
  type        = number
  default     = 30

  validation {
    condition     = var.images_kept >= 2 && floor(var.images_kept) == var.images_kept
    error_message = "Keep at least two images, the one that runs and the one before."
  }
}

variable "allow_removal" {
  description = "Whether the repository may be destroyed with images in it."
  type        = bool
  default     = false
}
