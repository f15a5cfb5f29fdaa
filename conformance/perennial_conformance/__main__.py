"""`python -m perennial_conformance --adapter "command"`: run the cases through an engine."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perennial_conformance.comparing import Status
from perennial_conformance.loading import KINDS, load_cases
from perennial_conformance.reporting import as_json, as_markdown, as_text, from_json
from perennial_conformance.running import AdapterFault, run

CONFORMS, DIFFERS, BROKEN = 0, 1, 2
_TIMEOUT: Final = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and return the exit code: 0 conforms, 1 differs, 2 couldn't run."""
    told = _parser().parse_args(arguments)
    cases = [case for case in load_cases() if told.kind in (None, case.kind)]
    if told.tables:
        runs = [from_json(Path(name).read_text("utf-8"), cases) for name in told.tables]
        print(as_markdown(runs), end="")
        return CONFORMS
    if not told.adapter:
        print("nothing to run: --adapter COMMAND, or --tables FILE...", file=sys.stderr)
        return BROKEN
    try:
        done = run(shlex.split(told.adapter), cases, told.timeout)
    except AdapterFault as fault:
        print(f"the adapter can't be run: {fault}", file=sys.stderr)
        return BROKEN
    print(as_json(done), end="") if told.json else print(as_text(done, verbose=told.verbose))
    wrong = done.count(Status.DIFFERS) + done.count(Status.FAILED)
    return DIFFERS if wrong else CONFORMS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("perennial-conformance", description=__doc__)
    parser.add_argument("--adapter", metavar="COMMAND", help="the command that runs the adapter")
    parser.add_argument("--kind", choices=KINDS, help="run one kind of case only")
    parser.add_argument("--json", action="store_true", help="print every answer as JSON")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    parser.add_argument(
        "--timeout", type=float, default=_TIMEOUT, metavar="SECONDS", help="for each answer"
    )
    parser.add_argument(
        "--tables", nargs="+", metavar="FILE", help="print runs that --json wrote as Markdown"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
