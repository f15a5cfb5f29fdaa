"""Flows about what the provider did: events, reconciliation, the fence and recovery."""

import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from billing.api.webhooks import Intake
from billing.flows import fence
from billing.flows.customers import customers
from billing.flows.cycles import digest_repair, recognition
from billing.flows.recovery import recovering
from billing.flows.settlement import runs
from billing.flows.webhooks import inbox
from billing.gateway.objects import ListedPage, Unreadable
from billing.gateway.registry import KINDS
from billing.sandbox.webhooks.signing import signature_header
from billing.workers.daemons.reconciler import Reconciler
from billing.workers.daemons.webhooks import Webhooks
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import (
    DAY,
    NEXT,
    OPERATOR,
    charge_by_api,
    create,
    dispatched,
    monthly,
    paid,
    with_key,
    work,
)
from tests.scenarios.backups import as_after_a_restart
from tests.scenarios.money import give_back, open_dispute, usd
from tests.scenarios.test_digest_repair import BERLIN, as_if_closed_in
from tests.scenarios.test_settlement_reports import begun, of_provider, report
from tests.scenarios.world import Subscriber, World, only_account

SECRET: Final = "whsec_of_the_matrix"


# --- events -------------------------------------------------------------------------------------


def _webhooks(world: World) -> Webhooks:
    return Webhooks(world.runtime, world.metrics)


def _swept(world: World) -> None:
    _webhooks(world).sweep()


def _delivered(world: World) -> bytes:
    """Return the delivery of the newest event."""
    paid(world)
    answer = world.psp._http.get(f"{world.psp._url}/v1/events", params={"limit": "1"}, timeout=60)
    return json.dumps(answer.json()["data"][0]).encode()


@flow("an event is delivered", _delivered, again=True, group="events")
def _take(world: World, body: bytes) -> None:
    intake = Intake(
        engine=world.engine,
        provider=world.provider,
        kind=KINDS["stripe"],
        wall=world.runtime.clock.wall,
        secrets=[SECRET],
        tolerance=timedelta(minutes=5),
        live=False,
        received=world.metrics.webhook_received,
        refused=world.metrics.webhook_refused,
    )
    signature = signature_header(body, [SECRET], int(world.wall.timestamp()))
    intake.take(body, {"stripe-signature": signature})


@flow("events are swept", paid, again=True, group="events")
def _sweep(world: World, _: object) -> None:
    _swept(world)


def _quiet(world: World) -> None:
    """Let nothing be left in the list of events."""
    _swept(world)
    assert _webhooks(world).handle_due() is not None


def _disputed(world: World) -> None:
    payment_id = world.payment(paid(world)).id
    _quiet(world)
    open_dispute(world, payment_id)
    _swept(world)


@flow("events of a dispute are handled", _disputed, group="events")
def _handle(world: World, _: object) -> None:
    _webhooks(world).handle_due()


def _charged_and_forgotten(world: World) -> None:
    """Let the provider have charged, the worker have died, and its event be here."""
    _quiet(world)
    monthly(world)
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None
    world.send(sending)
    _swept(world)


flow("events of a charge without an outcome wait", _charged_and_forgotten, group="events")(_handle)


class _Strange:
    """A provider that lists, before all else, an event and a refund that can't be read."""

    def __init__(self, real: Any, name: str) -> None:
        self._real, self._name = real, name

    def _bad(self, kind: str) -> ListedPage[Any]:
        bad = Unreadable(f"{kind}_{self._name}", kind, "it has no currency", "700 xyz")
        return ListedPage([], [bad], bad.id)

    def list_events(self, **window: Any) -> Iterator[Sequence[Any]]:
        yield self._bad("event")
        yield from self._real.list_events(**window)

    def list_refunds(self, **window: Any) -> Iterator[Sequence[Any]]:
        yield self._bad("refund")
        yield from self._real.list_refunds(**window)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _given_back_by_hand(world: World) -> str:
    payment = world.payment(paid(world))
    _quiet(world)
    assert payment.provider_payment_id is not None
    world.psp.post("refunds", payment_intent=payment.provider_payment_id, amount="500")
    return f"strange_{next(NEXT)}"


@flow("events that can't be read", _given_back_by_hand, again=True, breaks=True)
def _read_strange(world: World, name: str) -> None:
    strange = only_account(_Strange(world.gateway, name))
    world.runtime.__dict__["gateways"] = strange
    inbox.sweep(
        world.engine, world.provider, strange.default,
        watermark=None, complete=True, now=world.now, wall=world.wall,
    )  # fmt: skip
    _webhooks(world).handle_due()


# --- reconciliation -----------------------------------------------------------------------------


@flow("the reconciler", paid, again=True, group="reconciler")
def _reconcile(world: World, _: object) -> None:
    Reconciler(world.runtime, world.metrics).tick()


def _no_balance(world: World) -> None:
    paid(world)
    balance = {"method": "GET", "path": "/v1/balance"}
    world.psp._control("POST", "faults", kind="garbage_200", times=20, match=balance)


flow("the reconciler without an answer", _no_balance, again=True, group="reconciler")(_reconcile)


def _a_day_later(world: World) -> None:
    world.earn_daily()
    paid(world)
    world._pin(world.now + DAY)


@flow("revenue is earned", _a_day_later, again=True, grows=True)
def _earn(world: World, _: object) -> None:
    world.earn_daily()
    recognition.run(world.engine, now=world.now, batch=100, policy=world.policy)


def _reported(world: World) -> Path:
    paid(world)
    world._pin(world.now + DAY)
    return report(world, Path.cwd(), "ending_balance_reconciliation.itemized.4")


@flow("a settlement report is imported", _reported, again=True)
def _import(world: World, file: Path) -> None:
    runs.work(begun(world, file), world.runtime.context, report=of_provider(file))


def _broken_report(world: World) -> UUID:
    """Return a run that failed, as its report ends in the middle of a row."""
    file = _reported(world)
    file.write_text(file.read_text() + "\nbroken")
    run_id = begun(world, file)
    runs.work(run_id, world.runtime.context, report=of_provider(file))
    return run_id


@flow("an import that failed is resumed", _broken_report, again=True)
def _resume(world: World, run_id: UUID) -> None:
    runs.resume(world.engine, run_id)


def _wrong_digest(world: World) -> None:
    subscriber = paid(world)
    world.close_books()
    assert as_if_closed_in(world, os.environ["CRASH_DATABASE"], subscriber, BERLIN) == [0]


@flow("digests are repaired", _wrong_digest, again=True)
def _repair(world: World, _: object) -> None:
    digest_repair.repair(world.engine, [BERLIN], actor=OPERATOR)


# --- the fence and recovery ---------------------------------------------------------------------


def _restarted(world: World) -> Subscriber:
    subscriber = dispatched(world)
    as_after_a_restart(world)
    return subscriber


flow("a charge after a restart of the database", _restarted, group="the fence")(work)


def _unanswered(world: World) -> Subscriber:
    subscriber = _restarted(world)
    listing = {"method": "GET", "path": "/v1/charges"}
    world.psp._control("POST", "faults", kind="garbage_200", times=20, match=listing)
    return subscriber


flow("a charge while the account can't be compared", _unanswered, group="the fence")(work)


@flow("a database that was set back", paid, again=True, group="the fence")
def _set_back(world: World, _: object) -> None:
    fence.saw_horizon(world.engine, 10**12)
    fence.compared(world.runtime.context, world.provider)


class Restored:
    """Copies of a database at a moment after which much was done."""

    def __init__(self, world: World) -> None:
        subscriber = paid(world)
        other = world.payment(paid(world)).id
        one_off_payer = str(world.customer()[0])
        world.run_until("2026-01-31 12:00")
        world.engine.dispose()
        self.url = make_url(os.environ["CRASH_DATABASE"])
        self.count = 0
        self._copy(f"{self.url.database}_then")
        self._did_much(world, subscriber, other, one_off_payer)
        self.world = world

    def _did_much(self, world: World, _: Subscriber, other: UUID, payer: str) -> None:
        world.run_until("2026-02-01 12:00")
        create(world, ("late", "pm_card_visa"))
        customers.set_payment_method(world.context(), payer, "pm_card_mastercard")
        charge_by_api(world, (with_key(world)[0], payer))
        world.refund(give_back(world, other, usd(500)))
        open_dispute(world, other, amount=700)
        world.settle()

    def _copy(self, name: str, template: str | None = None) -> str:
        with psycopg.connect(
            self.url.set(database="postgres").render_as_string(hide_password=False),
            autocommit=True,
        ) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template or str(self.url.database))
                )
            )
        return self.url.set(database=name).render_as_string(hide_password=False)

    def next(self) -> World:
        self.count += 1
        name = f"{self.url.database}_{self.count}"
        url = self._copy(name, f"{self.url.database}_then")
        world = World(url, self.world.psp._url, Path.cwd() / name, continued=True)
        world.runtime.__dict__["settings"] = self.world.runtime.settings.model_copy(
            update={"database": world.runtime.settings.database}
        )
        world._pin(self.world.now)
        world.wall = self.world.wall
        assert not fence.passes(world.context(), world.provider)
        return world


_restored: list[Restored] = []


def _restore(world: World) -> World:
    if not _restored:
        _restored.append(Restored(world))
    return _restored[0].next()


@flow("a recovery", _restore, again=True)
def _recover(world: World, _: object) -> None:
    context = world.runtime.context.at_provider(world.provider)
    prepared = recovering.prepare(context)
    done = list(recovering.recover(context, prepared))
    assert recovering.finish(context, prepared, done), [(each.result, each.why) for each in done]
