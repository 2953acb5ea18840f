"""What people see: a frame, a graph, a run, drawn for files, terminals, notebooks."""
