"""The `__init__` of a package names the modules that others may use, and they use no other."""

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("billing", "plans", "workers")
# Packages of packages, whose contracts in pyproject.toml say who may import what; packages whose
# `__init__` defines or collects values; and the sandbox, whose only user starts a process.
WITHOUT_A_LIST: Final = {
    "billing", "billing.api.generated", "billing.api.generated.perennial",
    "billing.api.generated.perennial.v1", "billing.api.routes", "billing.cli",
    "billing.cli.commands", "billing.flows", "billing.rules", "billing.sandbox.braintree",
    "billing.sandbox.resources", "billing.sandbox.webhooks", "billing.plans", "billing.store",
    "billing.workers",
}  # fmt: skip


@functools.cache
def modules() -> dict[str, Path]:
    """Return every module of the product under its dotted name."""
    files = [file for name in PRODUCT for file in sorted((ROOT / name).rglob("*.py"))]
    return {dotted(file): file for file in files}


def dotted(file: Path) -> str:
    """Return the name under which a file is imported."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    if parts[0] != "billing":
        parts = ("billing", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> Iterator[str]:
    """Yield what a file imports: modules, and names out of them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


@functools.cache
def used_from_outside() -> dict[str, set[str]]:
    """Return the modules of each package that the product imports elsewhere."""
    found = defaultdict(set)
    known = modules()
    for user, file in known.items():
        for name in imported(file):
            package = name.rpartition(".")[0]
            if name in known and not f"{user}.".startswith(f"{package}."):
                found[package].add(name.rpartition(".")[2])
    return found


def listed(file: Path) -> list[str] | None:
    """Return the `__all__` of a module, if it has one."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


PACKAGES: Final = [name for name, file in modules().items() if file.name == "__init__.py"]


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - WITHOUT_A_LIST))
def test_every_package_names_what_others_may_use(package: str) -> None:
    names = listed(modules()[package])

    assert names
    assert names == sorted(names, key=lambda name: (not name.isupper(), name.islower(), name))


@pytest.mark.parametrize("package", sorted(WITHOUT_A_LIST))
def test_a_package_without_a_list_is_there_and_has_none(package: str) -> None:
    assert listed(modules()[package]) is None


def of_modules() -> list[str]:
    """Return the packages whose list names modules and nothing else."""
    known = modules()
    lists = {package: listed(known[package]) or [] for package in PACKAGES}
    return [
        package
        for package, names in lists.items()
        if names and all(f"{package}.{name}" in known for name in names)
    ]


@pytest.mark.parametrize("package", of_modules())
def test_others_use_the_modules_that_a_package_names_and_no_other(package: str) -> None:
    assert sorted(used_from_outside()[package]) == listed(modules()[package])


def test_most_packages_are_lists_of_modules() -> None:
    assert len(of_modules()) > 20
