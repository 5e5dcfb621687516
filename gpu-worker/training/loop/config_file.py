"""Tables of a TOML file as dataclasses."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read_table(path: Path, *names: str) -> dict[str, Any]:
    """One or more tables of a TOML file as one; a later table's keys win, arrays become tuples.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a table is missing; the message names it and those that are there.
    """
    content = tomllib.loads(Path(path).read_text())
    joined: dict[str, Any] = {}
    for name in names:
        if not isinstance(content.get(name), dict):
            raise ValueError(f"{path}: no table [{name}]; it has {', '.join(f'[{key}]' for key in content) or 'none'}")
        joined |= {key: _freeze(value) for key, value in content[name].items()}
    return joined


def read_settings(path: Path, settings: type[T], *names: str, **others: Any) -> T:
    """Builds a dataclass from tables of a TOML file.

    Args:
        path: the file.
        settings: a dataclass; a field that the file leaves out keeps its default.
        names: the tables, see `read_table`.
        others: fields that come from elsewhere.

    Raises:
        ValueError: as `read_table`, or a key is not a field of the dataclass, or a field without a default is missing.
    """
    table = read_table(path, *names)
    known = {field.name for field in fields(settings)} - set(others)
    where = " and ".join(f"[{name}]" for name in names)
    if unknown := sorted(set(table) - known):
        raise ValueError(f"{path}: unknown keys {unknown} in {where}; known are {sorted(known)}")
    try:
        return settings(**table, **others)
    except TypeError as error:
        raise ValueError(f"{path}: {where} is incomplete: {error}") from error


def _freeze(value: Any) -> Any:
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value
