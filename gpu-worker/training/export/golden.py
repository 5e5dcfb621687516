"""Golden vectors: small inputs with the outputs that any runtime of the bundle must reproduce."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

_DTYPES = {"float32": "<f4", "int64": "<i8", "uint8": "|u1"}
# Offsets are multiples of this, so that a reader can lay typed arrays over the file without copying.
_ALIGNMENT = 8


@dataclass(frozen=True)
class Tolerance:
    """Elements may differ by `absolute`; a share of at most `mismatch` (0..1) may differ by more."""

    absolute: float
    mismatch: float = 0.0


@dataclass
class GoldenVectors:
    """Collects cases and packs them into `golden.json` (what they are) and `golden.bin` (their numbers)."""

    binary_name: str
    _cases: list[dict] = field(default_factory=list)
    _binary: bytearray = field(default_factory=bytearray)
    _offsets: dict[bytes, int] = field(default_factory=dict)

    def add(
        self,
        name: str,
        graph: str,
        source: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        tolerances: Mapping[str, Tolerance],
    ) -> None:
        """Adds a case.

        Args:
            name: what the case shows.
            graph: file name of the graph it belongs to.
            source: what computed the outputs, "pytorch" or "onnxruntime".
            inputs, outputs: float32, int64 or uint8 arrays by tensor name.
            tolerances: for every output.
        """
        self._cases.append(
            {
                "name": name,
                "graph": graph,
                "source": source,
                "inputs": {key: self._store(value) for key, value in inputs.items()},
                "outputs": {
                    key: {
                        **self._store(value),
                        "tolerance": {"absolute": tolerances[key].absolute, "mismatch": tolerances[key].mismatch},
                    }
                    for key, value in outputs.items()
                },
            }
        )

    def index(self) -> dict:
        """The content of `golden.json`; offsets and sizes are bytes in the little-endian binary file."""
        return {"format": 1, "binary": self.binary_name, "cases": self._cases}

    def binary(self) -> bytes:
        """The content of `golden.bin`."""
        return bytes(self._binary)

    def _store(self, array: np.ndarray) -> dict:
        if array.dtype.name not in _DTYPES:
            raise TypeError(f"golden arrays are {', '.join(_DTYPES)}; got {array.dtype}")
        data = np.ascontiguousarray(array).astype(_DTYPES[array.dtype.name]).tobytes()
        # Cases share pictures, prompts and keys: equal bytes are kept once.
        if data not in self._offsets:
            self._offsets[data] = len(self._binary)
            self._binary += data + bytes(-len(data) % _ALIGNMENT)
        offset = self._offsets[data]
        return {"dtype": array.dtype.name, "dims": list(array.shape), "offset": offset, "bytes": len(data)}
