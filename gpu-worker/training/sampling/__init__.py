"""Mask-predict sampling, in PyTorch and through the served graphs, and what it records."""
