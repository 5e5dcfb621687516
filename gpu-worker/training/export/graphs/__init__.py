"""The graphs that are served, built node by node from weights."""
