"""A run's log: one JSON object a line, on the terminal and in a file."""

import json
from pathlib import Path
from typing import Any


class RunLog:
    """Appends entries to a file and prints them."""

    def __init__(self, path: Path):
        self._path = path

    def write(self, **entry: Any) -> None:
        """Adds one entry; its values are what JSON knows."""
        line = json.dumps(entry)
        print(line, flush=True)
        with self._path.open("a") as file:
            file.write(line + "\n")
