"""The order of the layers, kept: who may import whom, and what stays out of --help."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import laikaroto

PACKAGE = Path(laikaroto.__file__).parent
TOP = PACKAGE.parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_bundled" not in path.parts)


def layers() -> list[str]:
    """Names in the order in which laikaroto/__init__.py draws them."""
    drawing = (laikaroto.__doc__ or "").split("::", 1)[1]
    names: list[str] = []
    for line in drawing.splitlines():
        if line.startswith("    ") and line.strip():
            found = re.match(r"    (\w+)  +\S", line)
            names += (
                [found[1]]
                if found and not (PACKAGE / f"{found[1]}.py").exists()
                else (line.split())
            )
    return names


ORDER = layers()
# farm knows jobs, not pictures; bundled has the templates of its jobs.
FARM_MAY_SEE = {"errors", "bundled", "frames", "config", "farm"}


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(TOP).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of all modules imported below a node, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def imports_of(path: Path) -> set[str]:
    return set(imports(ast.parse(path.read_text(encoding="utf-8"))))


def imports_when_loaded(path: Path) -> set[str]:
    """Only what runs when the module is imported: not in functions, not for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= set(imports(node))
    return found


def test_the_drawing_names_every_layer_once() -> None:
    there = {layer_of(path) for path in FILES} - {"__init__", "__main__"}
    assert sorted(ORDER) == sorted(there)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_imports_only_from_layers_above(path: Path) -> None:
    own = layer_of(path)
    if own in ("__init__", "__main__"):
        return
    allowed = set(ORDER[: ORDER.index(own) + 1])
    if own == "farm":
        allowed = FARM_MAY_SEE
    if own == "worker":
        allowed -= {"farm"}
    used = {name.split(".")[1] for name in imports_of(path) if name.startswith("laikaroto.")}
    assert used <= allowed, f"{module_of(path)} reaches down to {sorted(used - allowed)}"


@pytest.mark.parametrize(
    ("library", "homes"),
    [("openvino", {"model"}), ("torch", {"training"}), ("OpenEXR", {"plate", "matte"})],
)
def test_a_library_has_one_home(library: str, homes: set[str]) -> None:
    users = {
        layer_of(path)
        for path in FILES
        if any(name.split(".")[0] == library for name in imports_of(path))
    }
    assert users <= homes


def test_modules_do_not_import_in_circles() -> None:
    graph = {module_of(path): imports_when_loaded(path) & MODULES for path in FILES}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_modules_stay_readable() -> None:
    long = {module_of(p): n for p in FILES if (n := len(p.read_text().splitlines())) > 500}
    assert long == {}


def test_nothing_is_unpickled_or_given_to_a_shell() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                said = {k.arg: ast.unparse(k.value) for k in node.keywords}
                called = ast.unparse(node.func)
                assert said.get("shell", "False") == "False", f"{path}:{node.lineno}"
                assert called not in ("os.system", "os.popen", "eval", "exec"), path
                if called.endswith("torch.load"):
                    assert said.get("weights_only") == "True", f"{path}:{node.lineno}"
                assert said.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"
        assert not imports_of(path) & {"pickle", "shelve", "marshal", "joblib"}, path


_HEAVY = {"cv2", "torch", "openvino", "OpenEXR", "PyOpenColorIO", "scipy", "openjd.model"}
_HELP = """
import io, sys
from contextlib import redirect_stdout
from laikaroto.cli.app import COMMANDS, app
for arguments in eval(sys.argv[1]) or [[name, "--help"] for name in COMMANDS]:
    with redirect_stdout(io.StringIO()) as said:
        app.main(arguments, standalone_mode=False)
    assert "Usage: " in said.getvalue(), arguments
print(*sorted(sys.modules))
"""


def loaded_by_help(commands: list[list[str]]) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", _HELP, repr(commands)],
        capture_output=True, text=True, timeout=300, cwd=TOP,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_help_loads_next_to_nothing() -> None:
    loaded = loaded_by_help([["--help"]])
    assert not loaded & (_HEAVY | {"numpy", "pydantic", "yaml", "rich"})
    assert len([name for name in loaded if name.startswith("laikaroto")]) < 8


def test_help_of_every_command_loads_nothing_heavy() -> None:
    assert not loaded_by_help([]) & _HEAVY
