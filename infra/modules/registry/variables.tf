variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "images_kept" {
  description = "The number of images to keep: a roll-back can go back that far."
  type        = number
  default     = 30

  validation {
    condition     = var.images_kept >= 2 && floor(var.images_kept) == var.images_kept
    error_message = "Keep at least two images: the running one and the previous one."
  }
}

variable "allow_removal" {
  description = "Whether the repository may be destroyed with images in it."
  type        = bool
  default     = false
}
