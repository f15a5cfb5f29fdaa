"""Which part of the cases that are made in bulk is run: a share of them, or all.

A table that a program makes has more cases than a change can wait for. Each commit takes a share of
its own, the same one whenever it is tested, so that the shares of some commits are all of them.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

from tests.repeatable import SEED

ALL: Final = "all"
NO_COMMIT: Final = "0"

_Case = TypeVar("_Case")


def _commit() -> str:
    """Return the commit that is checked out, shortened; a word of its own where there is none."""
    command = ["git", "-c", "safe.directory=*", "rev-parse", "--short=9", "HEAD"]
    try:
        asked = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return NO_COMMIT
    return asked.stdout.strip() or NO_COMMIT


# In the environment, so that the processes that share the tests run one share.
SHARE: Final = os.environ.setdefault("TEST_SHARE", _commit())
WHOLE: Final = SHARE == ALL


def share(cases: Sequence[_Case], of: int) -> Sequence[_Case]:
    """Return one of so many parts of the cases, each nth of them; all with `TEST_SHARE=all`."""
    return cases if WHOLE else part(cases, of, f"{SEED} {SHARE}")


def part(cases: Sequence[_Case], of: int, chosen_by: str) -> Sequence[_Case]:
    """Return the part that a word chooses."""
    return cases[crc32(chosen_by.encode()) % of :: of]


def repeated() -> str:
    """Return the environment that runs the same cases again."""
    return f"TEST_SEED={SEED} TEST_SHARE={SHARE}"
