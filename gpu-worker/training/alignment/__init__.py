"""Preference alignment of the generator: its own pictures with verdicts, what they teach, and the trainings that learn it."""
