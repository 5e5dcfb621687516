"""Hand-built ONNX graphs of the bundle: what `gpu-worker/src/models` runs."""
