"""The broker of messages: Dramatiq on Redis, configured to do as little as possible.

A message carries the id of one payment, refund or call about taxes and is only a hint. It may be
lost, doubled or late: Postgres has what is due, and a later tick sends it again. The broker
therefore has no retries, delays, results or pipelines: each of these breaks when Redis loses its
data.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import (
    CurrentMessage,
    Middleware,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)
from redis.backoff import NoBackoff
from redis.retry import Retry

from billing import tracing
from billing.crash_points import CrashPoint, marked, reached
from billing.errors import first_line

CHARGES: Final = "charges"
CHARGE_ACTOR: Final = "charge"
REFUND_ACTOR: Final = "refund"
TAX_ACTOR: Final = "taxes"

# Messages of a killed worker come back during maintenance, which the library runs at random: at its
# default of 1,000 in a million commands an idle queue waited over nine minutes.
MAINTENANCE_CHANCE: Final = 50_000
HEARTBEAT_TIMEOUT_MS: Final = 60_000

PROBE_MS: Final = 1_000

# The last resort, far above the gateway's deadline and the database's timeouts.
TIME_LIMIT_MS: Final = 600_000


def redis_client(url: str) -> "redis.Redis":
    """Return a client that never repeats a command: after a lost reply it would enqueue twice."""
    pool = redis.ConnectionPool.from_url(
        url, socket_timeout=10, socket_connect_timeout=3, retry=Retry(NoBackoff(), 0)
    )
    return redis.Redis(connection_pool=pool)


class _CrashPoints(Middleware):
    """Marks where a message was taken and where it was acknowledged."""

    def before_process_message(self, *_: Any) -> None:
        reached(CrashPoint.MESSAGE_TAKEN)

    def after_ack(self, *_: Any) -> None:
        reached(CrashPoint.MESSAGE_ACKNOWLEDGED)


def make_broker(url: str, namespace: str, extra: Iterable[Middleware] = ()) -> RedisBroker:
    """Return a broker with the charges queue declared."""
    broker = RedisBroker(  # type: ignore[no-untyped-call]  # Dramatiq leaves it so
        client=redis_client(url),
        namespace=namespace,
        maintenance_chance=MAINTENANCE_CHANCE,
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        middleware=[
            TimeLimit(time_limit=TIME_LIMIT_MS),
            ShutdownNotifications(),
            Retries(max_retries=0),
            CurrentMessage(),
            _CrashPoints(),
            *extra,
        ],
    )
    broker.declare_queue(CHARGES)
    return broker


def enqueue(broker: RedisBroker, row_id: UUID, actor: str = CHARGE_ACTOR) -> None:
    """Send a worker the message that a payment (or a refund) is due. Raises `redis.RedisError`."""
    with marked(CrashPoint.MESSAGE_SENT):
        broker.enqueue(
            dramatiq.Message[Any](
                queue_name=CHARGES,
                actor_name=actor,
                args=(str(row_id),),
                kwargs={},
                options=tracing.carried(),
            )
        )


def sent_along() -> Mapping[str, Any]:
    """Return what came with the message that this thread works on, beside the id."""
    message = CurrentMessage.get_current_message()
    return {} if message is None else message.options


def queue_depth(broker: RedisBroker, queue: str = CHARGES) -> int:
    """Count the messages of a queue, waiting or in work. Raises `redis.RedisError`."""
    return int(broker.client.hlen(f"{broker.namespace}:{queue}.msgs"))


def refusal(broker: RedisBroker) -> str | None:
    """Return why Redis takes no messages, or None.

    Reading isn't enough: a full server, a replica and one that can't save answer, and take nothing.
    """
    try:
        broker.client.set(f"{broker.namespace}:probe", "1", px=PROBE_MS)
    except redis.RedisError as error:
        return first_line(error)
    return None
