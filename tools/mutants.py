"""Try mutants of the pure rules: python tools/mutants.py [NAME ...], or `make mutants`.

mutmut changes one place of the code at a time and runs the tests that reach it. A mutant that no
test notices survives. Those that no test can tell from the code stand with their reason in
`tests/mutants/equivalent.toml`, which is compared with what survived. `[tool.mutmut]` in
pyproject.toml says which code and which tests.

Exits with 1 when less than 95 % of the other mutants died, when the list names what didn't survive,
or when mutants were left untried. NAME narrows a run to names like "billing.rules.periods*".
"""

import json
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "mutants"
LISTED = ROOT / "tests" / "mutants" / "equivalent.toml"
MUTMUT = Path(sys.executable).with_name("mutmut")
AT_LEAST = 95.0

# mutmut's exit codes of a mutant's tests. What runs out of time twice doesn't come back: it died.
OUT_OF_TIME = {24, 36, 152, 255, -24, -9}
DIED = {1, 3} | OUT_OF_TIME
UNTRIED = {None, 2}


@dataclass(frozen=True, order=True)
class Change:
    """One mutation: the function, and the lines before and after, without indentation."""

    function: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Mutant:
    """A mutant as mutmut names it, and how its tests ended."""

    name: str
    exit_code: int | None

    @property
    def module(self) -> str:
        """The module that was changed."""
        return self.name.rpartition(".")[0]

    @property
    def survived(self) -> bool:
        """Whether it was tried, and no test noticed it."""
        return self.exit_code not in DIED | UNTRIED


def main(names: Sequence[str]) -> int:
    """Run, compare and report; return the exit code."""
    shutil.rmtree(COPY, ignore_errors=True)
    run(names)
    if late := [m.name for m in results() if m.exit_code in OUT_OF_TIME]:
        run(["--max-children", "1", *late])
    mutants = [m for m in results() if not names or any(fnmatch(m.name, name) for name in names)]
    survivors = {m.name: change(m.name) for m in mutants if m.survived}
    listed = listed_as_equivalent()
    tried = {function_of(m.name) for m in mutants}
    stale = {c for c in listed if c.function in tried} - set(survivors.values())
    unlisted = {name: found for name, found in survivors.items() if found not in listed}
    for name, found in sorted(unlisted.items()):
        print(f"\n{name} survived\n- {_indented(found.was)}\n+ {_indented(found.becomes)}")
    for gone in sorted(stale):
        print(f"\nlisted, but it didn't survive: {gone.function}\n- {_indented(gone.was)}")
    share = report(mutants, set(survivors) - set(unlisted))
    untried = sum(m.exit_code in UNTRIED for m in mutants)
    if untried:
        print(f"{untried} mutants were not tried")
    return int(share < AT_LEAST or bool(stale) or bool(untried) or not mutants)


def run(arguments: Sequence[str]) -> None:
    """Make the mutants that aren't there yet, and try those of the arguments, or else all."""
    subprocess.run([MUTMUT, "run", *arguments], cwd=ROOT, check=True)


def results() -> Iterator[Mutant]:
    """Read what mutmut wrote down beside the changed files."""
    for path in sorted(COPY.rglob("*.py.meta")):
        codes = json.loads(path.read_text("utf-8"))["exit_code_by_key"]
        yield from (Mutant(name, code) for name, code in codes.items())


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
    """Print the figures by module; return the share that died of those that aren't equivalent."""
    print(f"\n{'module':40} {'mutants':>8} {'died':>8} {'same':>8} {'survived':>8} {'%':>7}")
    of = Counter(m.module for m in mutants)
    same = Counter(m.module for m in mutants if m.name in equivalent)
    left = Counter(m.module for m in mutants if m.survived and m.name not in equivalent)
    for module in sorted(of):
        print(_row(module, of[module], same[module], left[module]))
    print(_row("all", of.total(), same.total(), left.total()))
    return _share(of.total(), same.total(), left.total())


def _row(name: str, of: int, same: int, left: int) -> str:
    died = of - same - left
    return f"{name:40} {of:>8} {died:>8} {same:>8} {left:>8} {_share(of, same, left):>7.1f}"


def _share(of: int, same: int, left: int) -> float:
    return 100 * (of - same - left) / (of - same) if of > same else 100.0


def _indented(lines: str) -> str:
    return lines.replace("\n", "\n  ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
