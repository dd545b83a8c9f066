"""What is installed: the wheel is whole, versions are pinned, a plain install finds its show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ran = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=TOP, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_everything_that_is_needed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    bundled = "laikaroto/_bundled"
    for folder in ("configs", "jobs", "sample/plates", "sample/green_card", "sample/truth",
                   "sample/artist", "sample/reference"):  # fmt: skip
        for path in (TOP / folder).rglob("*"):
            if path.is_file():
                assert f"{bundled}/{path.relative_to(TOP).as_posix()}" in inside
    for path in (TOP / "laikaroto").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and "_bundled" not in path.parts:
            assert path.relative_to(TOP).as_posix() in inside
    assert "laikaroto/py.typed" in inside
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert not any("/tests/" in name or "__pycache__" in name for name in inside)
    assert not any(re.search(r"sample/(roto|models|work|farm|review)/", name) for name in inside)
    assert wheel.stat().st_size < 10_000_000


def test_a_plain_install_has_its_show_and_command(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "from pathlib import Path\n"
        "from laikaroto.bundled import bundled\n"
        "from laikaroto.config import read_configs\n"
        "for name in ('configs', 'jobs', 'sample'):\n"
        "    folder = bundled(name)\n"
        "    assert '_bundled' in folder.parts and 'site' in folder.parts, folder\n"
        "print(read_configs(bundled('configs')).show.name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "sample\n"), ran.stderr
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "laikaroto = laikaroto.cli.app:main" in archive.read(entry).decode()


def pins() -> dict[str, str]:
    lines = (TOP / "constraints.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in found.items()}


def test_every_dependency_is_pinned_within_its_range() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(d for group in extras.values() for d in group)]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in pins(), f"{name} is missing in constraints.txt"
        assert requirement.specifier, f"{name} has no range in pyproject.toml"
        assert requirement.specifier.contains(pins()[name]), name


def test_pins_are_exact_and_public() -> None:
    for name, version in pins().items():
        assert re.fullmatch(r"[0-9][0-9A-Za-z.]*", version), f"{name}=={version}"


def test_everything_that_is_imported_is_declared() -> None:
    import ast

    names = {"cv2": "opencv-python-headless", "yaml": "pyyaml", "PyOpenColorIO": "opencolorio",
             "OpenEXR": "openexr", "grpc": "grpcio"}  # fmt: skip
    declared = {
        canonicalize_name(Requirement(d).name)
        for d in [
            *PROJECT["project"]["dependencies"],
            *PROJECT["project"]["optional-dependencies"]["train"],
            *PROJECT["project"]["optional-dependencies"]["keypoints"],
            *PROJECT["project"]["optional-dependencies"]["deadline"],
            *PROJECT["project"]["optional-dependencies"]["opencue"],
        ]
    }
    used: set[str] = set()
    for path in (TOP / "laikaroto").rglob("*.py"):
        if path.parent.name == "scripts":  # runs inside other programs, with what they bring
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add(str(node.module))
    for module in used:
        first = module.split(".")[0]
        if first in sys.stdlib_module_names or first == "laikaroto":
            continue
        distribution = f"openjd-{module.split('.')[1]}" if first == "openjd" else first
        assert canonicalize_name(names.get(first, distribution)) in declared, module


def test_commands_of_the_readme_exist() -> None:
    makefile = (TOP / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", (TOP / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for script in (".ci/run", ".ci/debian-packages"):
        assert os.access(TOP / script, os.X_OK), script
    assert "make test" in (TOP / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))],
                         ids=lambda page: page.name)  # fmt: skip
def test_links_of_the_documentation_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
