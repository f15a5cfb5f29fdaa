"""A flow that does something durable: how its scene is set, and what a process does in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.scenarios.world import World

Prepare = Callable[[World], Any]
Run = Callable[[World, Any], object]


@dataclass(frozen=True)
class Flow:
    """What a process does; `prepare` returns what `run` is told.

    `again`: whoever did it does it again, a person, a program, or the next process of the role.
    `breaks`: what it is about is a break that stays open. `grows`: it does more each time.
    Flows of a `group` share a world, with the other account if one of them needs it
    (`other_account`). Where `prepare` returns a world, the flow is in that one.
    """

    name: str
    prepare: Prepare
    run: Run
    group: str
    again: bool = False
    breaks: bool = False
    grows: bool = False
    other_account: bool = False


OTHER_ACCOUNT: Final = "braintree"
FLOWS: Final[dict[str, Flow]] = {}


def flow(
    name: str, prepare: Prepare, *, group: str | None = None, **more: bool
) -> Callable[[Run], Run]:
    """Register what a process does as a flow; without a group it has a world of its own."""

    def register(run: Run) -> Run:
        assert name not in FLOWS, f"two flows are called {name!r}"
        FLOWS[name] = Flow(name, prepare, run, group or name, **more)
        return run

    return register


def groups() -> dict[str, list[Flow]]:
    """Return the flows that share a world, by the name of the group."""
    found: dict[str, list[Flow]] = {}
    for each in FLOWS.values():
        found.setdefault(each.group, []).append(each)
    return found


def numbers() -> Iterator[int]:
    """Yield numbers for names that may not come twice."""
    number = 0
    while True:
        number += 1
        yield number
