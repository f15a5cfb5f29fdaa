"""What is installed from a wheel: one package, which needs nothing of the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ("billing", "plans", "workers", "migrations", "pyproject.toml", "README.md")
BUILD: Final = "from setuptools import build_meta as b; print(b.build_wheel('.'))"
LOOK: Final = """
import billing, billing.workers.roles
from billing.plans.load import load_catalog
from billing.store.schema import expected_revision
from billing.workers.demo.run import CATALOG
print(billing.__file__, expected_revision(), len(load_catalog(CATALOG).plans))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources."""
    copy = tmp_path_factory.mktemp("sources")
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(source, copy / name)
    built = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True, text=True
    )
    return copy / built.stdout.splitlines()[-1]


def test_a_wheel_installs_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}

    assert {name for name in folders if not name.endswith(".dist-info")} == {"billing"}


def test_the_engine_works_from_a_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, folder = tmp_path / "site", tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    env = {**os.environ, "PYTHONPATH": str(site), "HOME": str(tmp_path)}

    def run(*args: str) -> str:
        command = [sys.executable, *args]
        return subprocess.run(
            command, cwd=folder, env=env, check=True, capture_output=True, text=True
        ).stdout

    file, revision, plans = run("-c", LOOK).split()
    run("-m", "billing.cli", "init")
    checked = run("-m", "billing.cli", "plans", "check")

    newest = max(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("0*.py"))
    assert Path(file).is_relative_to(site)
    assert (revision, int(plans) > 0) == (newest, True)
    assert "1 plan, 1 version, no mistake" in checked
