"""What passes between the workflow, its activities and who asks; Temporal keeps it as JSON.

A night may wait for days and go on under the next release: a field is only ever added, with a
default, and none is renamed. No value of a customer is among them.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NIGHT: Final = "perennial-night"
"""The workflow's type. Its executions are named after the task queue."""


class Ask(StrEnum):
    """The activities."""

    BEGIN = "begin"
    TAKE = "take_step"
    RECORD_APPROVAL = "record_approval"
    SHOW_CLOSE = "show_close"
    PROVE = "prove"


class At(StrEnum):
    """Where a night stands."""

    BEGINNING = "beginning"
    SETTLING = "settling"
    WAITING = "waiting for approval"
    CLOSING = "closing"
    SHOWING = "close show"
    PROVING = "prove"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class NightOrder:
    """Which night: up to the instant `as_of` (ISO 8601, UTC), or up to when it begins."""

    as_of: str | None = None


@dataclass(frozen=True)
class Begun:
    """What the engine says at the beginning: the run's instant, its accounts and the settings."""

    as_of: str
    accounts: list[str]
    steps: list[str]
    require_approval: bool
    retry_every_seconds: float
    heartbeat_seconds: float


@dataclass(frozen=True)
class StepOrder:
    """One step of the run of one account."""

    account: str
    step: str
    as_of: str


@dataclass(frozen=True)
class StepTaken:
    """How a step stands that may not be tried again: done, too early, or given up.

    `first` is the step that comes before it, where one does.
    """

    is_done: bool
    first: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    words: str | None = None


@dataclass(frozen=True)
class Approval:
    """Somebody's consent to the close."""

    by: str


@dataclass(frozen=True)
class ApprovalGiven:
    """The consent to the close of one night, for the audit log."""

    as_of: str
    by: str


@dataclass(frozen=True)
class CloseShown:
    """The close report: cycles, and per account and currency what nobody can explain."""

    ties_out: bool
    cycles_closed: int
    cycles_open: int
    unexplained: list[str]


@dataclass(frozen=True)
class Proved:
    """The numbers of the promises that are broken, and how many rows the provider differs in."""

    broken: list[int]
    differences: int


@dataclass
class AccountStanding:
    """How far the night is with one account."""

    step: str | None = None
    done: list[str] = field(default_factory=list)
    breaks_new: int = 0
    failed: str | None = None


@dataclass
class NightStanding:
    """How far the night is; the answer to the query `standing`, and the workflow's result."""

    at: str = At.BEGINNING
    as_of: str | None = None
    accounts: dict[str, AccountStanding] = field(default_factory=dict)
    breaks_new: int = 0
    waiting_for_approval_since: str | None = None
    approved_by: str | None = None
    close: CloseShown | None = None
    proved: Proved | None = None
    failed: list[str] = field(default_factory=list)
