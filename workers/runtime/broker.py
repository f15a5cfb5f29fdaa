"""The doorbell: Dramatiq on Redis, told to do as little as possible by itself.

A message carries the id of one payment or refund and is only a hint. It may be lost, doubled or
late: what is due stands in Postgres, and the next tick rings again. So there are no retries, no
delays, no results and no pipelines here, each of which breaks when Redis loses its memory.
"""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware, Retries, ShutdownNotifications, TimeLimit
from redis.backoff import NoBackoff
from redis.retry import Retry

CHARGES: Final = "charges"
CHARGE_ACTOR: Final = "charge"
REFUND_ACTOR: Final = "refund"

# Messages of a killed worker come back during maintenance, which is drawn by lot at every
# command: at the library's 1,000 in a million an idle queue waited over nine minutes.
MAINTENANCE_CHANCE: Final = 50_000
HEARTBEAT_TIMEOUT_MS: Final = 60_000

# The last resort, far above the gateway's deadline and the database's timeouts.
TIME_LIMIT_MS: Final = 600_000


def redis_client(url: str) -> "redis.Redis":
    """Return a client that repeats no command: a lost reply would enqueue twice."""
    pool = redis.ConnectionPool.from_url(
        url, socket_timeout=10, socket_connect_timeout=3, retry=Retry(NoBackoff(), 0)
    )
    return redis.Redis(connection_pool=pool)


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
            *extra,
        ],
    )
    broker.declare_queue(CHARGES)
    return broker


def ring(broker: RedisBroker, row_id: UUID, actor: str = CHARGE_ACTOR) -> None:
    """Tell some worker that a payment (or a refund) wants attention. Raises `redis.RedisError`."""
    broker.enqueue(
        dramatiq.Message[Any](
            queue_name=CHARGES,
            actor_name=actor,
            args=(str(row_id),),
            kwargs={},
            options={},
        )
    )


def queue_depth(broker: RedisBroker, queue: str = CHARGES) -> int:
    """Count the messages of a queue, waiting or in work. Raises `redis.RedisError`."""
    return int(broker.client.hlen(f"{broker.namespace}:{queue}.msgs"))
