"""Where stages run: inline or on threads, behind one protocol."""
