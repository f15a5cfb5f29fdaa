"""A courier: posts what one endpoint is owed, in order, and tries again after failures."""

import heapq
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from billing.sandbox.store import Store
from billing.sandbox.webhooks.conditions import Conditions
from billing.sandbox.webhooks.outbox import Outbox
from billing.sandbox.webhooks.sender import Sender

_BATCH = 200
_OWED = """
SELECT seq, event, attempts FROM deliveries
WHERE endpoint = ? AND state = 'pending' AND seq > ? ORDER BY seq LIMIT ?
"""
_TRIED = "UPDATE deliveries SET state = ?, attempts = ?, last_answer = ? WHERE seq = ?"


class Office(Protocol):
    """What a courier needs of its post office."""

    store: Store
    outbox: Outbox
    conditions: Conditions

    def post(self, sender: Sender, event_id: str, endpoint_id: str) -> str | None:
        """Post an event; return the answer, or None when the endpoint is gone or disabled."""
        ...

    def count(self, mishap: str) -> None:
        """Count what happened to a delivery on the way."""
        ...


@dataclass(order=True, slots=True)
class Parcel:
    """One event on its way to the endpoint."""

    due: float
    seq: int
    event: str = field(compare=False)
    attempts: int = field(compare=False)
    doubled: bool = field(compare=False, default=False)
    copy: bool = field(compare=False, default=False)


def delivered(answer: str) -> bool:
    """Whether an answer means that the endpoint has the event."""
    return answer.startswith("2")


class Courier(threading.Thread):
    """Serve one endpoint until stopped; what wasn't delivered is still owed after a restart."""

    def __init__(self, office: Office, endpoint_id: str) -> None:
        super().__init__(name=f"sandbox-courier-{endpoint_id}", daemon=True)
        self._office = office
        self._endpoint = endpoint_id
        self._sender = Sender()
        self._bag: list[Parcel] = []
        self._loaded = 0
        self._stopping = False

    def run(self) -> None:
        """Deliver until stopped."""
        seen = 0
        while not self._stopping:
            wait = None if self._office.conditions.paused else self._round()
            seen = self._office.outbox.wait(seen, wait)
        self._sender.close()

    def stop(self) -> None:
        """Take on nothing more, and give up a post at hand."""
        self._stopping = True
        self._office.outbox.announce()
        self._sender.interrupt()

    def _round(self) -> float | None:
        """Deliver what is due; return how long until the next is, None for nothing in sight."""
        while self._load() or self._is_due():
            while self._is_due() and not self._stopping and not self._office.conditions.paused:
                self._deliver(heapq.heappop(self._bag))
            if self._stopping or self._office.conditions.paused:
                break
        return max(0.0, self._bag[0].due - time.monotonic()) if self._bag else None

    def _is_due(self) -> bool:
        return bool(self._bag) and self._bag[0].due <= time.monotonic()

    def _load(self) -> bool:
        """Put a batch of what is owed into the bag; return whether there was any."""
        store = self._office.store
        with store.reading():
            rows = store.rows(_OWED, (self._endpoint, self._loaded, _BATCH))
        lost, now = [], time.monotonic()
        for seq, event, attempts in rows:
            fate = self._office.conditions.fate(seq)
            self._loaded = seq
            if fate.lost:
                lost.append(seq)
                continue
            if fate.held_back:
                self._office.count("held_back")
            parcel = Parcel(now + fate.wait_seconds, seq, event, attempts, fate.doubled)
            heapq.heappush(self._bag, parcel)
        self._lose(lost)
        return bool(rows)

    def _lose(self, numbers: Sequence[int]) -> None:
        if numbers:
            with self._office.store.transaction():
                for seq in numbers:
                    self._office.store.rows(_TRIED, ("lost", 0, None, seq))

    def _deliver(self, parcel: Parcel) -> None:
        answer = self._office.post(self._sender, parcel.event, self._endpoint)
        if self._stopping:
            return
        if parcel.copy:
            if answer is not None and delivered(answer):
                self._office.count("repeated")
            return
        parcel.attempts += 1
        if answer is None:
            self._tried("failed", parcel, "disabled")
        elif delivered(answer):
            self._tried("delivered", parcel, answer)
            if parcel.doubled:
                parcel.copy = True
                heapq.heappush(self._bag, parcel)
        else:
            self._again(parcel, answer)

    def _again(self, parcel: Parcel, answer: str) -> None:
        waits = self._office.conditions.retry_ms
        if parcel.attempts > len(waits):
            self._tried("failed", parcel, answer)
            return
        self._tried("pending", parcel, answer)
        parcel.due = time.monotonic() + waits[parcel.attempts - 1] / 1000
        heapq.heappush(self._bag, parcel)

    def _tried(self, state: str, parcel: Parcel, answer: str) -> None:
        with self._office.store.transaction():
            self._office.store.rows(_TRIED, (state, parcel.attempts, answer, parcel.seq))
