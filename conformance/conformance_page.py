"""Writes what docs/conformance.md tells: runs of the conformance suite, and the tables of them.

own     runs Perennial's adapter and writes its result and the page
peers   does the same for the peers, each installed into a .venv of its own
page    writes the page from the results that are there
"""

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perennial_conformance import Case, Run, load_cases, run
from perennial_conformance.reporting import as_json, as_markdown, from_json, summary

SUITE: Final = Path(__file__).resolve().parent
ROOT: Final = SUITE.parent
RESULTS: Final = SUITE / "results"
PAGE: Final = ROOT / "docs" / "conformance.md"
MARK: Final = "<!-- What follows is written by `make conformance`. -->\n"
PEERS: Final = {
    # Silver needs setuptools and typing_extensions and doesn't say so.
    "django_silver": ["django-silver==0.11.1", "setuptools<81", "typing_extensions"],
    "rrule": ["python-dateutil==4.0.0", "tzdata"],
    "larz": ["larzsubscription==0.1.0"],
}
ORDER: Final = ("perennial", *PEERS)


def asked(python: Path | str, name: str, cases: Sequence[Case] | None = None) -> Run:
    """Run an adapter of ours through cases, every one by default."""
    command = [str(python), str(SUITE / "adapters" / f"{name}.py")]
    return run(command, load_cases() if cases is None else cases, timeout=300)


def recorded(name: str) -> Run:
    """Return the run of an adapter as it was recorded."""
    return from_json((RESULTS / f"{name}.json").read_text("utf-8"), load_cases())


def page() -> str:
    """Return the page as it has to be: its text, and the tables of the recorded runs."""
    head, mark, _ = PAGE.read_text("utf-8").partition(MARK)
    assert mark, f"{PAGE} has no line that says where the tables begin"
    return f"{head}{mark}\n{as_markdown([recorded(name) for name in ORDER])}"


def _record(python: Path | str, name: str) -> None:
    found = asked(python, name)
    (RESULTS / f"{name}.json").write_text(as_json(found), "utf-8")
    print(summary(found))


def _installed(name: str) -> Path:
    folder = ROOT / ".peers" / name
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *PEERS[name]], check=True)
    return python


def main(arguments: Sequence[str]) -> int:
    """Do what is named. Exit 2 for anything else."""
    match arguments:
        case ["own"]:
            _record(sys.executable, "perennial")
        case ["peers"]:
            for name in PEERS:
                _record(_installed(name), name)
        case ["page"]:
            pass
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
