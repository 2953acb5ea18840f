"""The live page: a process of its own that reads a run and cannot hurt it."""
