"""A source, a sink and operators for streamproc, as another package brings them."""
