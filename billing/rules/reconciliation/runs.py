"""Where a settlement run gets its rows from, and the states of a run and of its steps."""

from enum import StrEnum
from typing import Final

STEPS: Final = ("fetch", "stage", "match", "correct", "post", "close")
"""The steps of a settlement run, in order."""


class RunSource(StrEnum):
    """Where a run's balance transactions come from."""

    PROVIDER = "provider"
    """The provider's own lists."""
    REPORT = "report"
    """A settlement report that a person imports."""


class RunState(StrEnum):
    """The state of a settlement run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class StepState(StrEnum):
    """The state of a step of a run; a failed step is tried again while its run goes on."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
