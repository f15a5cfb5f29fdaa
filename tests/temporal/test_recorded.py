"""A night that began under an earlier release, and waits, goes on under this one.

`temporal workflow show --workflow-id ID --output json` records a night; take the values of
`identity` out, which name machines. A file in `nights` stays as it is: where the test fails, the
workflow needs `temporalio.workflow.patched`.
"""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from billing.workers.temporal.night import Night

NIGHTS = sorted((Path(__file__).parent / "nights").glob("*.json"))


@pytest.mark.parametrize("file", NIGHTS, ids=lambda file: file.stem)
def test_a_night_that_was_recorded_goes_the_same_way_again(file: Path) -> None:
    history = WorkflowHistory.from_json("recorded", file.read_text())

    asyncio.run(Replayer(workflows=[Night]).replay_workflow(history))
