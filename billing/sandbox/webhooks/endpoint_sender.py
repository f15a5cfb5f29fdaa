"""Sends one endpoint the events that it has not received, in order, and again after failures."""

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


class DeliveryQueue(Protocol):
    """What a sender needs of the dispatcher."""

    store: Store
    outbox: Outbox
    conditions: Conditions

    def post(self, sender: Sender, event_id: str, endpoint_id: str) -> str | None:
        """Send an event; return the answer, or None when the endpoint is gone or disabled."""
        ...

    def count(self, incident: str) -> None:
        """Count what happened to a delivery on the way."""
        ...


@dataclass(order=True, slots=True)
class DueDelivery:
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


class EndpointSender(threading.Thread):
    """Serve one endpoint until stopped; what wasn't delivered is sent after a restart."""

    def __init__(self, dispatcher: DeliveryQueue, endpoint_id: str) -> None:
        super().__init__(name=f"sandbox-webhooks-{endpoint_id}", daemon=True)
        self._dispatcher = dispatcher
        self._endpoint = endpoint_id
        self._sender = Sender()
        self._queue: list[DueDelivery] = []
        self._loaded = 0
        self._stopping = False

    def run(self) -> None:
        """Deliver until stopped."""
        seen = 0
        while not self._stopping:
            wait = None if self._dispatcher.conditions.paused else self._round()
            seen = self._dispatcher.outbox.wait(seen, wait)
        self._sender.close()

    def stop(self) -> None:
        """Begin nothing more, and give up the request in progress."""
        self._stopping = True
        self._dispatcher.outbox.announce()
        self._sender.interrupt()

    def _round(self) -> float | None:
        """Deliver what is due; return how long until the next is, None for nothing in sight."""
        while self._load() or self._is_due():
            while self._is_due() and not self._stopping and not self._dispatcher.conditions.paused:
                self._deliver(heapq.heappop(self._queue))
            if self._stopping or self._dispatcher.conditions.paused:
                break
        return max(0.0, self._queue[0].due - time.monotonic()) if self._queue else None

    def _is_due(self) -> bool:
        return bool(self._queue) and self._queue[0].due <= time.monotonic()

    def _load(self) -> bool:
        """Queue a batch of events to send; return whether there was any."""
        store = self._dispatcher.store
        with store.reading():
            rows = store.rows(_OWED, (self._endpoint, self._loaded, _BATCH))
        lost, now = [], time.monotonic()
        for seq, event, attempts in rows:
            outcome = self._dispatcher.conditions.outcome_of(seq)
            self._loaded = seq
            if outcome.lost:
                lost.append(seq)
                continue
            if outcome.held_back:
                self._dispatcher.count("held_back")
            delivery = DueDelivery(
                now + outcome.wait_seconds, seq, event, attempts, outcome.doubled
            )
            heapq.heappush(self._queue, delivery)
        self._lose(lost)
        return bool(rows)

    def _lose(self, numbers: Sequence[int]) -> None:
        if numbers:
            with self._dispatcher.store.transaction():
                for seq in numbers:
                    self._dispatcher.store.rows(_TRIED, ("lost", 0, None, seq))

    def _deliver(self, delivery: DueDelivery) -> None:
        answer = self._dispatcher.post(self._sender, delivery.event, self._endpoint)
        if self._stopping:
            return
        if delivery.copy:
            if answer is not None and delivered(answer):
                self._dispatcher.count("repeated")
            return
        delivery.attempts += 1
        if answer is None:
            self._tried("failed", delivery, "disabled")
        elif delivered(answer):
            self._tried("delivered", delivery, answer)
            if delivery.doubled:
                delivery.copy = True
                heapq.heappush(self._queue, delivery)
        else:
            self._again(delivery, answer)

    def _again(self, delivery: DueDelivery, answer: str) -> None:
        waits = self._dispatcher.conditions.retry_ms
        if delivery.attempts > len(waits):
            self._tried("failed", delivery, answer)
            return
        self._tried("pending", delivery, answer)
        delivery.due = time.monotonic() + waits[delivery.attempts - 1] / 1000
        heapq.heappush(self._queue, delivery)

    def _tried(self, state: str, delivery: DueDelivery, answer: str) -> None:
        with self._dispatcher.store.transaction():
            self._dispatcher.store.rows(_TRIED, (state, delivery.attempts, answer, delivery.seq))
