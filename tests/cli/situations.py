"""The situations of the runbook, made in small worlds: what an operator finds, and how it ends."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from billing.flows.context import Context
from billing.flows.cycles import opening
from billing.flows.cycles.digest import cycle_digests
from billing.flows.payments import collecting
from billing.flows.refunds import sending as refunds
from billing.flows.webhooks import inbox
from billing.store import clock as stored
from billing.workers.demo.sandbox import SandboxControl
from tests.cli.silent_callers import silent_callers
from tests.cli.test_full_redis import FULL, taking_nothing
from tests.cli.test_reconcile import unknown_charge
from tests.cli.world import World, do_what_is_due
from tests.conftest import Admin
from tests.restoring import dump_rows, emptied, restore_rows
from tests.scenarios.full_disk import full
from tests.store.pooler import pooler
from tests.waiting import PATIENCE

START = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Servers:
    """What a situation may do to the servers themselves."""

    admin: Admin
    db_url: str
    redis_url: str


@dataclass
class Situation:
    """What was made: `seen` has the commands that tell of it and what they end with.

    `mend` does what the page tells to do outside the engine; after it every command of the section
    ends with 0. `ended` checks how it ends.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)
    mend: Callable[[], None] = lambda: None
    ended: Callable[[], None] = lambda: None


Make = Callable[[World, Servers], AbstractContextManager[Situation]]


def captures(world: World) -> int:
    """Count the captures at the provider."""
    return int(SandboxControl(world.sandbox_url, PATIENCE).stats()["captures"])


def everybody_paid_once(world: World, expected: int) -> None:
    """Check that as many captures are at the provider as in the books, and that all holds."""
    world.at(LATER)
    assert captures(world) == expected
    paid = [row for row in world.json("charges", "list") if row["state"] in ("CAPTURED", "SETTLED")]
    assert len(paid) == expected
    world.reconcile()
    assert world.run("prove").exit_code == 0


# --- the database is behind the provider --------------------------------------------------------


class Copies:
    """Copies of a world's database, dropped at the end."""

    def __init__(self, servers: Servers) -> None:
        name = make_url(servers.db_url).database
        assert name is not None
        self._servers, self._name = servers, name
        self._made: list[str] = []

    def take(self) -> str:
        """Copy the database as it is now and return the copy's URL."""
        copy = f"{self._name}_copy_{len(self._made)}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._servers.admin.execute(create.format(sql.Identifier(copy), sql.Identifier(self._name)))
        self._made.append(copy)
        url = make_url(self._servers.db_url).set(database=copy)
        return url.render_as_string(hide_password=False)

    def drop(self) -> None:
        for copy in self._made:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(copy))
            self._servers.admin.execute(drop)


@contextmanager
def copies(servers: Servers) -> Iterator[Copies]:
    made = Copies(servers)
    try:
        yield made
    finally:
        made.drop()


def subscribers(world: World, count: int = 2) -> None:
    for n in range(count):
        world.subscribed(f"customer-{n}", "video-basic")
    world.at(START)
    world.reconcile()


def put_clock(world: World, now: datetime) -> None:
    """Set the engine's clock, and do nothing of what is due."""
    runtime = world.runtime()
    with runtime.engine.begin() as conn:
        stored.put(conn, now)
    runtime.close()


def charge(context: Context, payment_id: UUID) -> None:
    sending = collecting.begin(context, payment_id)
    assert sending is not None
    collecting.finish(context, sending, collecting.attempt(context, sending))


def is_recovering(world: World, cause: str) -> None:
    (account,) = world.json("status")["providers"]
    assert (account["state"], account["cause"]) == ("recovering", cause)


@contextmanager
def backup_restored(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world)
    with copies(servers) as made:
        backup = made.take()
        world.at(LATER)
        world.env["BILLING__DATABASE__URL"] = backup
        world.at(LATER)
        is_recovering(world, "behind")
        yield Situation(ended=lambda: everybody_paid_once(world, 4))


@contextmanager
def replica_promoted(world: World, servers: Servers) -> Iterator[Situation]:
    """The first charge of a day was shipped to the replica, the second wasn't."""
    subscribers(world)
    SandboxControl(world.sandbox_url, PATIENCE).set_clock(LATER)
    put_clock(world, LATER)
    runtime = world.runtime()
    with copies(servers) as made:
        context = runtime.context.at_one_instant()
        opening.open_due_cycles(runtime.engine, now=LATER, limit=100, policy=context.policy)
        shipped, lost = collecting.dispatch_due(context, limit=100)
        charge(context, shipped)
        runtime.engine.dispose()
        replica = made.take()
        charge(context, lost)
        runtime.close()
        world.env["BILLING__DATABASE__URL"] = replica
        assert world.run("recover", "--dry-run").exit_code == 0
        is_recovering(world, "behind")
        yield Situation(ended=lambda: everybody_paid_once(world, 4))


@contextmanager
def rows_restored(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world)
    rows = world.folder / "rows.dump"
    dump_rows(servers.db_url, rows)
    world.at(LATER)
    emptied(servers.db_url)
    restore_rows(servers.db_url, rows)
    world.at(LATER)
    is_recovering(world, "behind")
    yield Situation(seen={"doctor": 3, "status": 0}, ended=lambda: everybody_paid_once(world, 4))


@contextmanager
def copy_with_live_keys(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world)
    with copies(servers) as made:
        copy = World(world.folder, dict(world.env), world.sandbox_url)
        copy.env["BILLING__DATABASE__URL"] = made.take()
        copy.at(LATER)
        put_clock(world, LATER)
        world.reconcile()
        is_recovering(world, "another_database")
        yield Situation(ended=lambda: everybody_paid_once(world, 4))


# --- what isn't known, or can't be written --------------------------------------------------------


def lost_answer(world: World, path: str) -> None:
    SandboxControl(world.sandbox_url, PATIENCE).fault(
        kind="reset_after_commit", times=1, match={"method": "POST", "path": path}
    )


@contextmanager
def unknown_attempt(world: World, servers: Servers) -> Iterator[Situation]:
    world.subscribed("ada", "video-basic")
    lost_answer(world, "/v1/payment_intents")
    world.at(START)
    (payment,) = world.json("charges", "list", "--unknown")

    def is_listed() -> None:
        assert captures(world) == 1
        assert len(world.json("charges", "list")) == 1

    yield Situation(names={"PAYMENT": payment["id"]}, ended=is_listed)


@contextmanager
def unknown_refund(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    (payment,) = world.json("charges", "list")
    lost_answer(world, "/v1/refunds")
    world.run("refunds", "create", payment["id"], "--amount", "1", "--yes")
    (refund,) = world.json("refunds", "list", "--state", "requested")
    runtime = world.runtime()
    context, refund_id = runtime.context, UUID(refund["id"])
    sending = refunds.begin(context, refund_id)
    assert sending is not None
    refunds.finish(context, sending, refunds.attempt(context, sending))
    runtime.close()
    assert world.json("refunds", "show", refund["id"])["last_error"]
    yield Situation(names={"REFUND": refund["id"]})


@contextmanager
def waiting_event(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    runtime = world.runtime()
    for page in runtime.gateway.list_events(since=START - timedelta(days=1)):
        inbox.receive(runtime.engine, "stripe", page, source="sweep", wall=runtime.clock.wall())
    runtime.close()
    assert world.lines("webhooks", "list", "--unhandled")
    yield Situation()


@contextmanager
def redis_refuses(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    with ExitStack() as stack:
        stack.enter_context(taking_nothing(servers.redis_url, FULL))
        yield Situation(seen={"doctor": 3, "status": 0}, mend=stack.close)


@contextmanager
def disk_is_full(world: World, servers: Servers) -> Iterator[Situation]:
    """An answer of the provider that can't be written until there is room."""
    world.subscribed("ada", "video-basic")
    runtime = world.runtime()
    context = runtime.context.at_one_instant()
    opening.open_due_cycles(runtime.engine, now=START, limit=100, policy=context.policy)
    (payment_id,) = collecting.dispatch_due(context, limit=100)
    sending = collecting.begin(context, payment_id)
    assert sending is not None
    outcome = collecting.attempt(context, sending)
    with ExitStack() as stack:
        stack.enter_context(full(servers.db_url, "payments"))
        with pytest.raises(OperationalError):
            collecting.finish(context, sending, outcome)

        def make_room() -> None:
            stack.close()
            collecting.finish(context, sending, outcome)  # the worker repeats it every second

        def is_written_once() -> None:
            assert captures(world) == 1
            assert world.json("charges", "list")[0]["state"] == "CAPTURED"

        yield Situation(seen={"status": 0}, mend=make_room, ended=is_written_once)
    runtime.close()


# --- poolers, zones, connections ----------------------------------------------------------------


@contextmanager
def pooler_in_transaction_mode(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    with (
        pooler(servers.db_url, "transaction") as refused,
        pooler(servers.db_url, "session") as taken,
    ):
        world.env["BILLING__DATABASE__URL"] = refused

        def session_mode() -> None:
            world.env["BILLING__DATABASE__URL"] = taken

        yield Situation(seen={"doctor": 4, "status": 4}, mend=session_mode)


@contextmanager
def digests_of_another_zone(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    runtime = world.runtime()
    with runtime.engine.connect() as conn:
        closed = conn.exec_driver_sql("SELECT id FROM cycles WHERE state = 'closed'").scalars()
        digests = cycle_digests(conn, [UUID(str(each)) for each in closed], "Europe/Berlin")
    runtime.close()
    assert digests
    with psycopg.connect(servers.db_url) as owner:
        owner.execute("ALTER TABLE cycles DISABLE TRIGGER ALL")
        for cycle_id, digest in digests.items():
            owner.execute("UPDATE cycles SET digest = %s WHERE id = %s", (digest, cycle_id))
        owner.execute("ALTER TABLE cycles ENABLE TRIGGER ALL")
    yield Situation(seen={"prove": 3})


@contextmanager
def zone_with_new_rules(world: World, servers: Servers) -> Iterator[Situation]:
    """The next period was announced by rules that a zone doesn't have any more."""
    subscribers(world, 1)
    with psycopg.connect(servers.db_url) as owner:
        owner.execute("UPDATE subscriptions SET zone = 'America/Santiago'")

    def goes_on() -> None:
        everybody_paid_once(world, 2)
        assert world.lines("subscriptions", "re-anchor", "--all", "--dry-run") == []

    yield Situation(seen={"prove": 3}, ended=goes_on)


@contextmanager
def connections_that_say_nothing(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    with silent_callers(world, 20) as answers:
        yield Situation(ended=answers)


@contextmanager
def ordinary(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    (payment,) = world.json("charges", "list")
    yield Situation(names={"PAYMENT": payment["id"]})


@contextmanager
def parked(world: World, servers: Servers) -> Iterator[Situation]:
    """A subscription that missed periods, of a plan that leaves them to an operator."""
    subscribers(world, 1)
    with psycopg.connect(servers.db_url) as owner:
        (reference,) = owner.execute(
            "UPDATE subscriptions SET parked_at = now(), parked_error = 'no price in USD',"
            " parked_reason = 'error' RETURNING external_id"
        ).fetchone() or (None,)
    runtime = world.runtime()
    do_what_is_due(runtime)
    runtime.close()
    yield Situation(
        names={"REFERENCE": str(reference)}, ended=lambda: everybody_paid_once(world, 2)
    )


@contextmanager
def break_is_open(world: World, servers: Servers) -> Iterator[Situation]:
    subscribers(world, 1)
    found = unknown_charge(world)
    yield Situation(names={"BREAK": found})


@contextmanager
def settlement_stands_still(world: World, servers: Servers) -> Iterator[Situation]:
    """The provider doesn't answer the run, and does again afterwards."""
    subscribers(world, 1)
    control = SandboxControl(world.sandbox_url, PATIENCE)
    control.fault(kind="error_500_uncommitted", times=50, match={"method": "GET"})
    assert world.run("reconcile", "run").exit_code != 0
    (payment,) = world.json("charges", "list")
    yield Situation(names={"PAYMENT": payment["id"]}, mend=control.clear_faults)


SITUATIONS: Mapping[str, Make] = {
    "A backup was restored": backup_restored,
    "A replica was promoted": replica_promoted,
    "Rows were restored into the running database": rows_restored,
    "A copy runs with live keys": copy_with_live_keys,
    "Attempts are unknown": unknown_attempt,
    "Refunds are unknown": unknown_refund,
    "Webhooks are stuck": waiting_event,
    "Redis takes no messages": redis_refuses,
    "Outcomes can't be written": disk_is_full,
    "Something is parked": parked,
    "Breaks are open": break_is_open,
    "Resolving a break": break_is_open,
    "Settlement does not go on": settlement_stands_still,
    "A pooler is refused": pooler_in_transaction_mode,
    "Digests made through a pooler": digests_of_another_zone,
    "The rules of a time zone changed": zone_with_new_rules,
    "Connections that say nothing": connections_that_say_nothing,
    "Log lines": ordinary,
}
