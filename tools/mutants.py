"""Try mutants of the pure rules: python tools/mutants.py [NAME ...], or `make mutants`.

mutmut changes one place of the code at a time, and `mutant_trials.py` runs the tests that reach it.
A mutant that no test notices survives. Those that no test can tell from the code stand with their
reason in `tests/mutants/equivalent.toml`, which is compared with what survived. `[tool.mutmut]` in
pyproject.toml says which code and which tests.

A run that was ended goes on where it was, unless code or tests have changed since. NAME narrows it
to names like "billing.rules.periods*".

Exits with 1 when less than 95 % of the other mutants of a module died, when the list names what
didn't survive, or when mutants were left untried.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "mutants"
TRIALS = COPY / "trials.jsonl"
MADE_FROM = COPY / "made-from"
LISTED = ROOT / "tests" / "mutants" / "equivalent.toml"
MUTMUT = Path(sys.executable).with_name("mutmut")
AT_LEAST = 95.0

# Exit codes of trials. A mutant whose time is up doesn't come back: it died.
DIED = {1, -signal.SIGPROF}


@dataclass(frozen=True, order=True)
class Change:
    """One mutation: the function, and the lines before and after, without indentation."""

    function: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Mutant:
    """A mutant as mutmut names it, and the exit code of its trial, if it was tried."""

    name: str
    exit_code: int | None

    @property
    def module(self) -> str:
        """The module that was changed."""
        return self.name.rpartition(".")[0]

    @property
    def survived(self) -> bool:
        """Whether it was tried, and no test noticed it."""
        return self.exit_code is not None and self.exit_code not in DIED


def main(names: Sequence[str]) -> int:
    """Generate, try, compare and report; return the exit code."""
    os.chdir(ROOT)
    generate()
    untried = [m.name for m in mutants(names) if m.exit_code is None]
    if untried:
        try_them(untried)
    found = mutants(names)
    survivors = {m.name: change(m.name) for m in found if m.survived}
    listed = listed_as_equivalent()
    tried = {function_of(m.name) for m in found}
    stale = {c for c in listed if c.function in tried} - set(survivors.values())
    unlisted = {name: change for name, change in survivors.items() if change not in listed}
    for name, lines in sorted(unlisted.items()):
        print(f"\n{name} survived\n- {_indented(lines.was)}\n+ {_indented(lines.becomes)}")
    for gone in sorted(stale):
        print(f"\nlisted, but it didn't survive: {gone.function}\n- {_indented(gone.was)}")
    share = report(found, set(survivors) - set(unlisted))
    left = sum(m.exit_code is None for m in found)
    if left:
        print(f"{left} mutants were not tried")
    return int(share < AT_LEAST or bool(stale) or bool(left) or not found)


def generate() -> None:
    """Write the changed code below `mutants/`, anew if code or tests have changed."""
    now = made_from()
    if not MADE_FROM.exists() or MADE_FROM.read_text("ascii") != now:
        from mutmut.__main__ import create_mutants
        from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

        shutil.rmtree(COPY, ignore_errors=True)
        COPY.mkdir()
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(os.cpu_count() or 1)
        MADE_FROM.write_text(now, "ascii")


def made_from() -> str:
    """Return a digest of the code, the tests of rules and the settings."""
    digest = sha256()
    folders = ("billing", "plans", "workers", "tests/unit", "tools")
    files = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    for path in sorted([*files, ROOT / "pyproject.toml", ROOT / "tests" / "conftest.py"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def try_them(names: Sequence[str]) -> None:
    """Try mutants; what pytest prints of it says nothing more."""
    trials = [sys.executable, str(ROOT / "tools" / "mutant_trials.py"), *names]
    subprocess.run(trials, cwd=COPY, check=True, stdout=subprocess.DEVNULL)


def mutants(names: Sequence[str]) -> list[Mutant]:
    """Return the mutants that there are of these names, or all, with their trials."""
    lines = TRIALS.read_text("utf-8").splitlines() if TRIALS.exists() else []
    codes = dict(json.loads(line) for line in lines)
    of_files = (json.loads(path.read_text("utf-8")) for path in sorted(COPY.rglob("*.py.meta")))
    found = [name for of_file in of_files for name in of_file["exit_code_by_key"]]
    return [
        Mutant(name, codes.get(name))
        for name in found
        if not names or any(fnmatch(name, wanted) for wanted in names)
    ]


def change(name: str) -> Change:
    """Return what a mutant changes."""
    shown = subprocess.run(
        [MUTMUT, "show", name], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    lines = shown.split("\n@@", 1)[-1].splitlines()[1:]
    was = "\n".join(line[1:].strip() for line in lines if line.startswith("-"))
    becomes = "\n".join(line[1:].strip() for line in lines if line.startswith("+"))
    return Change(function_of(name), was, becomes)


def function_of(name: str) -> str:
    """Return "module.function" or "module.Class.method" of a mutant's name."""
    module, _, mangled = name.rpartition(".")
    mangled = mangled.rpartition("__mutmut_")[0]
    return f"{module}.{mangled.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def listed_as_equivalent() -> set[Change]:
    """Read the list of mutants that no test can tell from the code, each with its reason."""
    rows = tomllib.loads(LISTED.read_text("utf-8")).get("equivalent", [])
    missing = [row for row in rows if not row.get("reason")]
    if missing:
        raise SystemExit(f"error: {LISTED} gives no reason for {missing}")
    return {Change(row["function"], row["was"], row["becomes"]) for row in rows}


def report(mutants: Sequence[Mutant], equivalent: set[str]) -> float:
    """Print the figures by module; return the least share that died of those not equivalent."""
    print(f"\n{'module':44} {'mutants':>8} {'died':>8} {'same':>8} {'survived':>8} {'%':>7}")
    of = Counter(m.module for m in mutants)
    same = Counter(m.module for m in mutants if m.name in equivalent)
    left = Counter(m.module for m in mutants if m.survived and m.name not in equivalent)
    for module in sorted(of):
        print(_row(module, of[module], same[module], left[module]))
    print(_row("all", of.total(), same.total(), left.total()))
    return min((_share(of[m], same[m], left[m]) for m in of), default=100.0)


def _row(name: str, of: int, same: int, left: int) -> str:
    died = of - same - left
    return f"{name:44} {of:>8} {died:>8} {same:>8} {left:>8} {_share(of, same, left):>7.1f}"


def _share(of: int, same: int, left: int) -> float:
    return 100 * (of - same - left) / (of - same) if of > same else 100.0


def _indented(lines: str) -> str:
    return lines.replace("\n", "\n  ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
