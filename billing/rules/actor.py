"""Who did something: one value for histories, break notes and the audit log."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class ActorKind(StrEnum):
    """By which way something was done, or by whom of the engine's own processes."""

    CLI = "cli"
    API = "api"
    CONSOLE = "console"
    SCHEDULER = "scheduler"
    WORKER = "worker"
    RECONCILER = "reconciler"
    PROVIDER = "provider"
    CUSTOMER = "customer"
    DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Actor:
    """A kind and, where somebody is behind it, a name; its text is what is stored."""

    kind: ActorKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an actor back from its text. Raises ValueError for a kind that isn't known."""
        kind, _, name = text.partition(":")
        return cls(ActorKind(kind), name)


SCHEDULER: Final = Actor(ActorKind.SCHEDULER)
WORKER: Final = Actor(ActorKind.WORKER)
RECONCILER: Final = Actor(ActorKind.RECONCILER)
PROVIDER: Final = Actor(ActorKind.PROVIDER)
CUSTOMER: Final = Actor(ActorKind.CUSTOMER)
