"""Runs `billing temporal worker` as it is shipped, killed with -9 once in every step of a night.

    python -m tests.temporal.dying_worker DEATHS

Each worker is a fork that has imported everything. It kills itself when all of a step is done and
its end isn't committed, and names the step in the file DEATHS; the next worker is begun then. The
last one is left alone, and this process ends as that one does. Nothing of the engine knows of this:
functions are wrapped from outside.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from billing import cli
from billing.errors import NotFound, Unavailable
from billing.flows.settlement import tie_out
from billing.flows.settlement.step_run import StepRun
from billing.rules.reconciliation import STEPS
from billing.workers.temporal import activities

MOMENTS: Final = (*STEPS, "close show", "prove")
# The server is down, or has begun and doesn't know its namespaces yet.
NOT_CONNECTED: Final = (Unavailable.exit_code, NotFound.exit_code)


def _dies(moment: str, deaths: Path) -> Callable[..., None]:
    def die(*_: Any, **__: Any) -> None:
        with deaths.open("a") as file:
            print(moment, file=file)
        os.kill(os.getpid(), signal.SIGKILL)

    return die


def _plant(moment: str, deaths: Path) -> None:
    die = _dies(moment, deaths)
    if moment == "close show":
        vars(tie_out)["report"] = die
    elif moment == "prove":
        vars(activities)["check"] = die
    else:
        finish = StepRun.finish

        def finish_or_die(step: StepRun) -> None:
            if step.claim.step == moment:
                die()
            finish(step)

        type.__setattr__(StepRun, "finish", finish_or_die)


def main(deaths: Path) -> int:
    """Run one worker after the other, and return the exit code of the last one."""
    left: list[str | None] = [*MOMENTS, None]
    stopped = False
    while left:
        worker = os.fork()
        if not worker:
            _work(left[0], deaths)

        def end(signum: int, _frame: FrameType | None, worker: int = worker) -> None:
            nonlocal stopped
            stopped = True
            os.kill(worker, signum)

        signal.signal(signal.SIGTERM, end)
        code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        if code in NOT_CONNECTED and not stopped:
            time.sleep(0.2)
        elif code != -signal.SIGKILL or left.pop(0) is None:
            return code
    return 1


def _work(moment: str | None, deaths: Path) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if moment is not None:
        _plant(moment, deaths)
    sys.argv = ["billing", "temporal", "worker"]
    cli.main()
    raise AssertionError("the command exits")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
