"""The emoji world: scenes of known objects with exact ground truth, and the prompts that describe them."""
