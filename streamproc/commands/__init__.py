"""One module per command of the command line; `cli` registers them."""
