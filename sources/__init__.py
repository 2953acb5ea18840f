"""Where frames come from: one file, one source, found by its entry point."""
