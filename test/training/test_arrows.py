"""Arrows between the folders of `training`: imports run one way, and no folder is too long to be read."""

import ast
from graphlib import TopologicalSorter

import pytest

from training.folders import TRAINING

MOST_FILES = 16  # fifteen and the line that says what the folder is for


def _folder(module: str) -> str:
    """Folder of a module or package below `training`, "" for `training` itself."""
    path = TRAINING / module.replace(".", "/")
    return module if path.is_dir() else module.rpartition(".")[0]


def _imports() -> dict[str, set[str]]:
    """The folders that each folder imports from."""
    arrows: dict[str, set[str]] = {}
    for path in TRAINING.rglob("*.py"):
        own = ".".join(path.relative_to(TRAINING).parent.parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "training":
                arrows.setdefault(own, set()).add(_folder(node.module.partition(".")[2]))
    return {own: others - {own, ""} for own, others in arrows.items()}


def test_folders_import_one_way():
    order = list(TopologicalSorter(_imports()).static_order())
    assert order.index("world") < order.index("sampling") < order.index("verifiers")


@pytest.mark.parametrize("folder", sorted({path.parent for path in TRAINING.rglob("*.py")}), ids=str)
def test_a_folder_is_short_and_says_what_it_is_for(folder):
    files = list(folder.glob("*.py"))
    assert len(files) <= MOST_FILES
    assert (folder / "__init__.py").read_text().startswith('"""')
