"""The trials of mutants: python tools/mutant_trials.py NAME ..., in the folder of the changed code.

Collecting the tests takes seconds, and the tests of a mutant mostly a fraction of one. So this
process collects them once, and each mutant is tried in a fork of it: the tests that reach the
changed function, the quickest first, up to the first that fails. No cache of a fork holds what the
unchanged code returned, because this process runs no test itself.

Each trial adds a line to `trials.jsonl`, so that a run that was ended can go on.
"""

import json
import os
import signal
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

TRIALS: Final = Path("trials.jsonl")
REACHED: Final = Path("reached.json")
SURVIVED, DIED = 0, 1
UNREACHED: Final = 33  # no test calls the function
MUTANT: Final = "MUTANT_UNDER_TEST"  # mutmut's code looks at it
ANY: Final = "stats"  # what it is when mutmut's code is to tell which functions are called


class Trials:
    """A plugin of pytest: instead of one run of the tests, it makes one for each mutant."""

    def __init__(self, mutants: Sequence[str]) -> None:
        self._mutants = mutants
        self._running: dict[int, str] = {}
        self._failed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Find out once which tests reach which functions, then try the mutants."""
        if not REACHED.exists():
            os.waitpid(_forked(lambda: self._find_reached(session.items)), 0)
        if not REACHED.exists():
            raise pytest.UsageError("without any change of the code, a test fails")
        reached, seconds = json.loads(REACHED.read_text("utf-8"))
        items = {item.nodeid: item for item in session.items}
        for done, name in enumerate(self._mutants, 1):
            tests = reached.get(name.rpartition("__mutmut_")[0], ())
            self._start(name, [(items[test], seconds[test]) for test in tests])
            if len(self._running) >= (os.cpu_count() or 1):
                self._end_one()
            print(f"\r{done} of {len(self._mutants)} ", end="", file=sys.stderr, flush=True)
        while self._running:
            self._end_one()
        print(file=sys.stderr)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Note a failure. It is the end of a mutant, before pytest writes a report of it."""
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            self._failed.append(item.nodeid)
            if os.environ[MUTANT] != ANY:
                os._exit(DIED)

    def _find_reached(self, items: Sequence[pytest.Item]) -> None:
        from mutmut.mutation import trampoline

        called: set[str] = set()
        tests: dict[str, list[str]] = defaultdict(list)
        seconds: dict[str, float] = {}
        vars(trampoline)["record_trampoline_hit"] = lambda name, **_: called.add(name)
        os.environ[MUTANT] = ANY
        for item in items:
            called.clear()
            before = time.process_time()
            _run(item, None)
            seconds[item.nodeid] = time.process_time() - before
            for name in called:
                tests[name].append(item.nodeid)
        if self._failed:
            print(*self._failed, sep="\n", file=sys.stderr)
            return
        quickest_first = {name: sorted(of, key=seconds.__getitem__) for name, of in tests.items()}
        REACHED.write_text(json.dumps([quickest_first, seconds]), "utf-8")

    def _start(self, name: str, tests: Sequence[tuple[pytest.Item, float]]) -> None:
        def trial() -> None:
            os.environ[MUTANT] = name
            followed_by = [*(item for item, _ in tests[1:]), None]
            for (item, seconds), following in zip(tests, followed_by, strict=True):
                # Of processor time. A loop that doesn't end is killed by SIGPROF.
                signal.setitimer(signal.ITIMER_PROF, 8 * seconds + 5)
                _run(item, following)
            os._exit(SURVIVED if tests else UNREACHED)

        self._running[_forked(trial)] = name

    def _end_one(self) -> None:
        pid, status = os.wait()
        trial = [self._running.pop(pid), os.waitstatus_to_exitcode(status)]
        with TRIALS.open("a", encoding="utf-8") as trials:
            trials.write(json.dumps(trial) + "\n")


def _forked(do: Callable[[], None]) -> int:
    """Do something in a fork and return its pid; whatever is raised there, it ends."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(DIED)
    return pid


def _run(item: pytest.Item, following: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def main(mutants: Sequence[str]) -> int:
    """Try the mutants, and return pytest's exit code."""
    sys.path.insert(0, str(Path.cwd()))
    options = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    arguments = options["pytest_add_cli_args"] + options["pytest_add_cli_args_test_selection"]
    # Nothing is captured, as forks would share what is captured; what pytest prints goes nowhere.
    return int(pytest.main(["--capture=no", *arguments], plugins=[Trials(mutants)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
