"""Runs a role that kills itself in the middle of something, the first time it gets there.

    python -m tests.delivery.dying_role ROLE POINT MARK

`MARK` is a file that comes into being right before the kill; when it is there already, the role
runs as it is shipped. Nothing of the engine knows of this: functions are wrapped from outside.

Where a worker is killed in the middle of an attempt, the reconciler is held back until the next
worker has sent the attempt again. It would find the capture in the provider's list, and how soon
it looks is up to the machine.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import billing.workers.daemons.scheduler
from billing.config import load_settings
from billing.flows.cycles import closing, opening
from billing.flows.payments import collecting, outcomes
from billing.flows.settlement import charge_list
from billing.gateway.stripe import client
from billing.workers.roles import Role, run_role
from tests.waiting import until

Die = Callable[[], None]
Plant = Callable[[Die], None]


def _after(place: Any, name: str, *, call: int = 1, only: Callable[[Any], Any] = bool) -> Plant:
    """Die when a function has returned something (that `only` accepts) so many times."""

    def plant(die: Die) -> None:
        original, left = getattr(place, name), [call]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if only(result):
                left[0] -= 1
                if left[0] == 0:
                    die()
            return result

        setattr(place, name, wrapped)

    return plant


_done: Final = partial(_after, only=lambda _: True)  # a function that returns nothing


def _between_pages(die: Die) -> None:
    """Read the provider's list two at a time, and die when the first page is compared."""
    client.PAGE = 2  # type: ignore[misc]  # a constant, but for this
    _after(charge_list, "_compare_page", only=lambda found: found[0])(die)


# What each point is called by the tests, and where it is.
POINTS: Final[dict[str, tuple[Role, Plant]]] = {
    "cycles written, not committed": ("scheduler", _done(opening, "write")),
    "some messages sent": (
        "scheduler",
        _done(billing.workers.daemons.scheduler, "enqueue", call=3),
    ),
    "capture written, not committed": ("worker", _done(outcomes, "captured")),
    "one page confirmed": ("reconciler", _between_pages),
    "cycles closed, not committed": (
        "reconciler",
        _after(closing, "close_batch", only=lambda done: done.closed),
    ),
}

# Where an attempt was begun, it is sent again under its key.
SENT_AGAIN: Final = frozenset({"capture written, not committed"})


def _die_once(mark: Path, lock: threading.Lock) -> None:
    with lock:  # of several threads that get here, the first takes all with it
        mark.touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


def main(role: Role, point: str, mark: Path) -> None:
    """Run the role, with its end prepared."""
    dies, plant = POINTS[point]
    again = mark.with_suffix(".sent-again")
    if role == dies and not mark.exists():
        plant(partial(_die_once, mark, threading.Lock()))
    elif point in SENT_AGAIN and role == "worker":
        _after(collecting, "begin", only=lambda sending: sending and sending.call.sends > 1)(
            again.touch
        )
    elif point in SENT_AGAIN and role == "reconciler":
        until(again.exists)
    run_role(role, load_settings(Path("config.toml"), os.environ))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))  # type: ignore[arg-type]  # the test's word
