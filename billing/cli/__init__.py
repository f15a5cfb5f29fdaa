"""The command line: thin commands over flows, one file a noun.

    root.py         `billing` itself: global options, all commands, how a run ends
    loading.py      a command is imported when it is asked for
    guard.py        card numbers are refused before anything else reads the arguments
    failures.py     how each error is shown, and its exit code
    session.py      settings, engine and clock of one run, made when first asked for
    output.py       -o table|json|jsonl; data on stdout, talk on stderr
    tables.py       aligned texts, wrapped where a terminal is too narrow
    references.py   from what a person types (id, its beginning, external id) to a row
    records.py      the fields of each noun, in tables and in JSON

Startup stays fast: a command imports flows, store and workers when it runs, not before.
"""

import atexit
import gc
import logging
import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

# Importing makes many objects and hardly any garbage: a look-up ends before this many were made.
# Looking for garbage as often as Python does was a tenth of a short command's time.
COLLECT_AFTER: Final = 250_000
USUAL: Final = gc.get_threshold()


def main() -> None:
    """Run the command line and exit with its code; see docs/cli.md."""
    gc.set_threshold(COLLECT_AFTER)
    # Python looks for garbage once more when it ends, among all that was imported: a third of a
    # look-up's time. Called last of all that is registered, so nothing is left undone for it.
    atexit.register(gc.freeze)
    from billing.cli.root import root

    try:
        root(prog_name="billing")
    except SystemExit as end:
        if "temporalio" in sys.modules and isinstance(end.code, int):
            _end_with(end.code)
        raise


def collect_as_usual() -> None:
    """Look for garbage as often as Python does, in what runs for long."""
    gc.set_threshold(*USUAL)


def _end_with(code: int) -> NoReturn:
    """End the process without taking the interpreter apart.

    Threads of Temporal's client outlive their event loop. While the interpreter is taken apart they
    may abort the process, or hold it for ever: https://github.com/temporalio/sdk-python/issues/300
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it is gone, or it is closed
            stream.flush()
    os._exit(code)
