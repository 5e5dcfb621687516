"""Training of the embedded emoji-96 model: world, quantiser, generator, verifiers."""
