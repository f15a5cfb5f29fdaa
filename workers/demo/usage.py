"""The demo's usage: another program sends events in any order, late, and again.

Of some batches it doesn't wait for the answer, and sends them again at once.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import requests
from sqlalchemy import text

from billing.errors import Unavailable
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.rules.actor import Actor, ActorKind
from billing.workers.demo import world
from billing.workers.runtime.peppers import pepper
from billing.workers.runtime.runtime import Runtime

SEND_EVERY: Final = timedelta(days=4)
EVENTS: Final = 6
"""How many events a subscription has on average when some are sent."""
CALLERS: Final = 9
LATE: Final = 0.15
LATE_BY: Final = timedelta(days=20)
FIRST_AT: Final = timedelta(days=3)
"""How long after the demo's start all of its metered subscriptions have begun."""
REPEATED: Final = 0.15
ANSWER_LOST: Final = 0.3
TRIES: Final = 50
PAUSE_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 15.0
IMPATIENCE_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event of a subscription that made `n` calls at an instant, and when it was first sent."""

    id: UUID
    reference: str
    at: datetime
    n: int
    caller: str
    sent_at: datetime

    def row(self) -> dict[str, Any]:
        """Return the event as the API takes it."""
        return {
            "id": str(self.id),
            "event": "call",
            "subscription": self.reference,
            "at": self.at.isoformat(),
            "properties": {"n": self.n, "caller": self.caller},
        }


@dataclass
class Used:
    """What was sent, by id, and what the answers said, for the report to compare.

    `rows` counts an event as often as it was sent, `repeated` and `refused` as often as an answer
    said so. `counted` are those of which one said that they count.
    """

    events: dict[UUID, SentEvent] = field(default_factory=dict)
    counted: set[UUID] = field(default_factory=set)
    rows: int = 0
    repeated: int = 0
    refused: int = 0
    conflicting: int = 0
    answers_lost: int = 0


class DemoUsage:
    """Sends usage of the metered customers as days pass, and records it in `done`."""

    def __init__(self, runtime: Runtime, seed: int, start: datetime, *, faults: bool) -> None:
        self.done = Used()
        self._runtime = runtime
        self._rng = random.Random(f"{seed} usage")  # noqa: S311  a demo has to be repeatable
        self._faults = faults
        self._first_at = self._sent_at = start + FIRST_AT
        self._last: Sequence[SentEvent] = ()
        settings = runtime.settings
        self._url = f"http://{settings.api.host}:{settings.api.port}/v1/usage"

    def a_day_passed(self, now: datetime) -> None:
        """Send what was used since the last time, if that is some days ago. Raises: Unavailable."""
        if now - self._sent_at < SEND_EVERY:
            return
        made = [event for reference in self._references for event in self._events(reference, now)]
        self._sent_at = now
        again = [each for each in (*self._last, *made) if self._rng.random() < REPEATED]
        self._last = made
        self.done.events.update((each.id, each) for each in made)
        batch = [*made, *again]
        self._rng.shuffle(batch)
        if batch:
            self._send(batch)

    def _events(self, reference: str, now: datetime) -> list[SentEvent]:
        return [self._event(reference, now) for _ in range(self._rng.randint(1, 2 * EVENTS - 1))]

    def _event(self, reference: str, now: datetime) -> SentEvent:
        since = self._sent_at
        if self._rng.random() < LATE:
            since = max(self._first_at, now - LATE_BY)
        seconds = int((now - since).total_seconds())
        return SentEvent(
            id=UUID(int=self._rng.getrandbits(128), version=4),
            reference=reference,
            at=since + timedelta(seconds=self._rng.randrange(seconds)),
            n=self._rng.randint(1, 60),
            caller=f"caller {self._rng.randint(1, CALLERS)}",
            sent_at=now,
        )

    def _send(self, batch: Sequence[SentEvent]) -> None:
        rows = [each.row() for each in batch]
        if self._faults and self._rng.random() < ANSWER_LOST:
            self._send_without_answer(rows)
        answer = self._send_until_answered(rows)
        self.done.rows += len(rows)
        self.done.repeated += len(answer["repeated"])
        self.done.refused += len(answer["refused"])
        self.done.conflicting += len(answer["conflicting"])
        others = {*answer["conflicting"], *(each["index"] for each in answer["refused"])}
        self.done.counted.update(each.id for place, each in enumerate(batch) if place not in others)

    def _send_without_answer(self, rows: Sequence[dict[str, Any]]) -> None:
        """Send a batch, and hang up before its answer is there."""
        self.done.answers_lost += 1
        try:
            self._post(rows, IMPATIENCE_SECONDS)
        except requests.RequestException:
            return

    def _send_until_answered(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        said = ""
        for _ in range(TRIES):
            try:
                answer = self._post(rows, PATIENCE_SECONDS)
            except requests.RequestException as error:
                said = str(error)
            else:
                if answer.status_code == requests.codes.ok:
                    found: dict[str, Any] = answer.json()
                    return found
                said = f"{answer.status_code} {answer.text}"
            time.sleep(PAUSE_SECONDS)
        raise Unavailable(f"no answer to a batch of usage: {said}", where=self._url)

    def _post(self, rows: Sequence[dict[str, Any]], seconds: float) -> requests.Response:
        return self._session.post(
            self._url, json={"events": rows}, timeout=(PATIENCE_SECONDS, seconds)
        )

    @cached_property
    def _session(self) -> requests.Session:
        _, key = api_keys.create(
            self._runtime.engine,
            name="demo-usage",
            scopes=[Scope.USAGE],
            pepper=pepper(self._runtime.settings),
            wall=self._runtime.clock.wall(),
            actor=Actor(ActorKind.DEMO),
        )
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {key}"
        return session

    @cached_property
    def _references(self) -> list[str]:
        """The metered subscriptions; a small demo may lack some."""
        with self._runtime.engine.connect() as conn:
            return list(conn.execute(_METERED, {"plan": world.DATA_API}).scalars())


_METERED: Final = text("SELECT external_id FROM subscriptions WHERE plan = :plan ORDER BY 1")
