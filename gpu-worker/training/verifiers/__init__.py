"""The verifiers: what they are asked, what they learn from, their training, calibration and measurement."""
