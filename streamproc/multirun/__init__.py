"""One pipeline, many runs: a batch over images, a sweep over parameters."""
