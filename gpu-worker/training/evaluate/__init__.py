"""Measures of a generator, a detector, an export, and the prompts that are scored."""
