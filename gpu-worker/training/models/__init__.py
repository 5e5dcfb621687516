"""Network definitions; each file holds one network and nothing about its training."""
