"""`make plant`: each planted fault in a copy of the code, until the simulator finds it."""

import argparse
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.simulation.planted import FAULTS, Fault

ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = ("billing", "plans", "workers", "migrations", "tests", "proto")


@dataclass(frozen=True)
class Tried:
    """A planted fault, whether it was found, after how many cycles, and what was said first."""

    fault: Fault
    found: bool
    cycles: int
    said: str


def copied(into: Path) -> None:
    """Copy the code, as Python imports it."""
    for name in _COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, into / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", into)


def tried(fault: Fault, seed: str, cycles: int) -> Tried:
    """Plant a fault in a copy and simulate there. Raises `RuntimeError` where that fails."""
    with TemporaryDirectory(prefix="planted-") as folder:
        copied(Path(folder))
        fault.plant(Path(folder))
        command = [sys.executable, "-m", "tests.simulation", "--seed", seed]
        command += ["--cycles", str(cycles), "--findings", "1", "--trace", "0"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    counted = re.search(r"^cycles +([0-9]+)$", run.stdout, re.MULTILINE)
    if run.returncode not in (0, 1) or counted is None:
        raise RuntimeError(f"{fault.name}: {run.stdout}{run.stderr}")
    said = re.search(r"^  (\S.+)$", run.stdout, re.MULTILINE)
    return Tried(fault, run.returncode == 1, int(counted[1]), said[1] if said else "")


def main() -> int:
    """Try the faults, and print a line a fault; exit code 1 when one isn't found."""
    parser = argparse.ArgumentParser(prog="make plant", description=__doc__)
    parser.add_argument("--seed", default="7")
    parser.add_argument("--cycles", type=int, default=20_000, help="of each fault, at most")
    parser.add_argument("--only", default="", help="those whose name contains it")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only in fault.name]
    missed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in pool.map(lambda fault: tried(fault, options.seed, options.cycles), chosen):
            missed += not done.found
            verdict = f"found after {done.cycles} cycles" if done.found else "NOT FOUND"
            print(f"{verdict:28} {done.fault.name}: {done.said}", flush=True)  # noqa: T201
    print(f"{len(chosen) - missed} of {len(chosen)} found")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
