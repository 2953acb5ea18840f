"""Where results go: one file, one sink, found by its entry point."""
