"""What commands ask of Temporal: the schedule, how a night stands, and consent to its close."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode

from billing.config import Settings
from billing.errors import Conflict, NotFound, Unavailable
from billing.workers.temporal.client import connect, night_id, unavailable
from billing.workers.temporal.night import Night
from billing.workers.temporal.values import NIGHT, Approval, At, NightOrder, NightStanding

ANSWER: Final = timedelta(seconds=10)
CAUGHT_UP: Final = timedelta(days=1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NightSchedule:
    """The schedule as it stands at the server."""

    schedule: str
    at: str
    made: bool
    next_at: datetime | None
    started: bool


@dataclass(frozen=True, slots=True)
class NightSeen:
    """One night: how far it is, and what Temporal is trying again."""

    night: str
    status: str
    started_at: datetime
    standing: NightStanding
    trying: Sequence[str]

    def to_json(self) -> Mapping[str, Any]:
        """Return it as it is shown."""
        return {
            "night": self.night,
            "status": self.status,
            "started_at": self.started_at,
            **asdict(self.standing),
            "trying": list(self.trying),
        }


def schedule(settings: Settings, *, now: bool = False) -> NightSchedule:
    """Make the schedule, or bring it to the configuration; with `now` start a night as well.

    A night begins when the one before it is over, and one that was missed while the server was down
    is made up for within a day: it reads up to when it begins. A pause of the schedule stays.
    """
    return _done(settings, lambda client: _schedule(client, settings, now))


def show(settings: Settings, night: str | None = None) -> NightSeen:
    """Return how a night stands, the latest without a name. Raises: NotFound, Unavailable."""
    return _done(settings, lambda client: _show(client, settings, night))


def waiting(settings: Settings, night: str | None = None) -> NightSeen:
    """Return a night that waits for an approval, the latest without a name. Raises: Conflict."""
    return _done(settings, lambda client: _waiting(client, settings, night))


def approve(settings: Settings, by: str, night: str) -> NightSeen:
    """Consent to a night's close. Raises: Conflict where it doesn't wait for that."""
    return _done(settings, lambda client: _approve(client, settings, by, night))


def _done(settings: Settings, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """Ask the server something, over one connection, from a process that isn't asynchronous."""

    async def connected() -> T:
        return await work(await connect(settings))

    try:
        return asyncio.run(connected())
    except RPCError as error:
        raise unavailable(settings, error) from None


# --- the schedule ---------------------------------------------------------------------------------


async def _schedule(client: Client, settings: Settings, now: bool) -> NightSchedule:
    name, wanted = night_id(settings), schedule_of(settings)
    handle = client.get_schedule_handle(name)
    try:
        await client.create_schedule(name, wanted)
        made = True
    except ScheduleAlreadyRunningError:
        await _update(handle, wanted)
        made = False
    if now:
        await handle.trigger()
    info = (await handle.describe()).info
    following = info.next_action_times
    return NightSchedule(name, settings.temporal.at, made, following[0] if following else None, now)


async def _update(handle: ScheduleHandle, wanted: Schedule) -> None:
    def brought(found: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted.state = found.description.schedule.state
        return ScheduleUpdate(wanted)

    await handle.update(brought)


def schedule_of(settings: Settings) -> Schedule:
    """Return the configured schedule: once a day, one night at a time."""
    hour, minute = (int(part) for part in settings.temporal.at.split(":"))
    return Schedule(
        action=ScheduleActionStartWorkflow(
            NIGHT, NightOrder(), id=night_id(settings), task_queue=settings.temporal.task_queue
        ),
        spec=ScheduleSpec(
            calendars=[
                ScheduleCalendarSpec(hour=[ScheduleRange(hour)], minute=[ScheduleRange(minute)])
            ]
        ),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.BUFFER_ONE, catchup_window=CAUGHT_UP),
    )


# --- a night --------------------------------------------------------------------------------------


async def _night(client: Client, settings: Settings, name: str | None) -> WorkflowHandle[Any, Any]:
    """Return a night by its name, or the latest one of this task queue. Raises: NotFound."""
    if name is not None:
        return client.get_workflow_handle(name)
    query = f"WorkflowType = '{NIGHT}' AND TaskQueue = '{settings.temporal.task_queue}'"
    async for found in client.list_workflows(query, limit=1):  # the latest start comes first
        return client.get_workflow_handle(found.id, run_id=found.run_id)
    raise NotFound(
        "no night was started yet",
        where=f"task queue {settings.temporal.task_queue}",
        remedy="`billing temporal schedule --now` starts one",
    )


async def _show(client: Client, settings: Settings, name: str | None) -> NightSeen:
    return await seen(await _night(client, settings, name))


async def seen(handle: WorkflowHandle[Any, Any]) -> NightSeen:
    """Return how a night stands. Raises: NotFound, Unavailable where no worker answers."""
    try:
        described = await handle.describe()
        standing = await handle.query(Night.standing, rpc_timeout=ANSWER)
    except RPCError as error:
        raise _unanswered(error, handle.id) from None
    pending = described.raw_description.pending_activities
    return NightSeen(
        handle.id,
        str((described.status or WorkflowExecutionStatus.RUNNING).name).lower(),
        described.start_time,
        standing,
        [
            f"{each.activity_type.name}, try {each.attempt}: {each.last_failure.message}"
            for each in pending
            if each.last_failure.message
        ],
    )


def _unanswered(error: RPCError, name: str) -> Exception:
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotFound(f"there is no night {name!r}", where="temporal.namespace")
    return Unavailable(
        f"nobody answers for night {name}: {error.message}",
        where="temporal.task_queue",
        remedy="start a `billing temporal worker`",
    )


async def _waiting(client: Client, settings: Settings, name: str | None) -> NightSeen:
    found = await _show(client, settings, name)
    if found.standing.at != At.WAITING:
        raise Conflict(
            f"{found.night} doesn't wait for an approval: it stands at {found.standing.at!s}",
            where="temporal approve",
        )
    return found


async def _approve(client: Client, settings: Settings, by: str, name: str) -> NightSeen:
    await _waiting(client, settings, name)
    handle = client.get_workflow_handle(name)
    await handle.signal(Night.approve, Approval(by))
    return await seen(handle)
