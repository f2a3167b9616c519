"""One of each: atomic files, worker pool, progress, reading of images and of label maps."""
