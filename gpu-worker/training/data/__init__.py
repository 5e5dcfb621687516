"""Scenes as examples: drawings and scenes in pixels and in codes, whole, softened and broken, and recorded trajectories."""
