"""Asking the register whether VAT ids were given to a business.

    hold what is due  ->  ask, with no transaction open  ->  write the answer, or when to ask again

Asking changes nothing at the register, so it is simply repeated after a death. No answer changes
nothing here.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.flows.context import Clock
from billing.gateway.vat_register import VatAnswer, VatRegister, VatUnknown
from billing.ids import new_id
from billing.rules import backoff
from billing.store.subscriptions import tax_facts, vat_lookups
from billing.store.subscriptions.tax_facts import VatCheck
from billing.store.subscriptions.vat_lookups import VatLookup

_LEASE: Final = timedelta(minutes=5)
_FIRST_PAUSE: Final = timedelta(minutes=5)
_LONGEST_PAUSE: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class VatChecked:
    """What one run did: ids that the register answered for, and those that it didn't."""

    answered: int = 0
    unknown: int = 0


def run(
    engine: Engine, register: VatRegister, *, clock: Clock, limit: int, recheck: timedelta
) -> VatChecked:
    """Ask for up to `limit` ids that are due; each again `recheck` after its answer."""
    wall = clock.wall()
    with marked(CrashPoint.VAT_LOOKUPS_HELD), engine.begin() as conn:
        due = vat_lookups.hold_due(conn, wall=wall, until=wall + _LEASE, limit=limit)
    answered = unknown = 0
    for lookup in due:
        answer = register.look_up(lookup.vat_id)
        with marked(CrashPoint.VAT_LOOKUP_RECORDED), engine.begin() as conn:
            _record(conn, lookup, answer, clock, recheck)
        known = isinstance(answer, VatAnswer)
        answered, unknown = answered + known, unknown + (not known)
    return VatChecked(answered, unknown)


def _record(
    conn: Connection,
    lookup: VatLookup,
    answer: VatAnswer | VatUnknown,
    clock: Clock,
    recheck: timedelta,
) -> None:
    wall = clock.wall()
    if isinstance(answer, VatUnknown):
        failures = lookup.failures + 1
        pause = backoff.pause(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        vat_lookups.end(
            conn, lookup.vat_id, next_at=wall + pause, failures=failures, error=answer.why
        )
        return
    check = VatCheck(new_id(), lookup.vat_id, answer.confirmed, answer.reference, clock.now())
    tax_facts.add_check(conn, check)
    vat_lookups.end(conn, lookup.vat_id, next_at=wall + recheck)
