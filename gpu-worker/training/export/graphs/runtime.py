"""Runs a graph as the GPU worker does on a CPU; for golden vectors, timing and tests."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


class GraphSession:
    """One graph in ONNX Runtime on the CPU."""

    def __init__(self, model: onnx.ModelProto | Path, threads: int = 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads steal time from the process that feeds them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns all outputs by name."""
        return dict(zip(self._outputs, self._session.run(None, dict(inputs)), strict=True))

    def best_milliseconds(
        self, inputs: Mapping[str, np.ndarray], repetitions: int = 20, clock: Callable[[], float] = time.perf_counter
    ) -> float:
        """Shortest of several runs on `clock` (seconds): what the graph costs when nothing else wants the cores."""
        durations = []
        for _ in range(repetitions):
            start = clock()
            self.run(inputs)
            durations.append(clock() - start)
        return min(durations) * 1e3
