"""Cycles whose digest was computed in another zone than UTC: found, proven and written down.

A closed cycle never changes, and neither does its digest. What is written down is the zone in which
the digest is right. It is no permission: `billing prove` computes the digest in that zone every
time, so a cycle that is changed afterwards is found as any other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import available_timezones

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, ErrorCode
from billing.flows.cycles.digest import cycle_digests
from billing.rules.actor import Actor
from billing.store.access import audit
from billing.store.promises import closed_agrees
from billing.store.promises.closed_agrees import ClosedCycle
from billing.store.subscriptions import digest

BATCH = 500


@dataclass(frozen=True, slots=True)
class WrongDigest:
    """A closed cycle whose digest isn't that of its rows; in `zone` it is, where one was found."""

    cycle_id: UUID
    subscription_id: UUID
    n: int
    zone: str | None


def wrong(conn: Connection, zones: Sequence[str]) -> list[WrongDigest]:
    """Return every closed cycle whose digest differs, with the zone in which it is right.

    Cycles whose zone is written down already are left out. Raises `BadInput` for an unknown zone.
    """
    known = available_timezones()
    for zone in zones:
        if zone not in known:
            raise BadInput(
                f"no time zone {zone!r}", where="--zone", code=ErrorCode.ZONE_UNKNOWN, zone=zone
            )
    return [
        WrongDigest(cycle.id, cycle.subscription_id, cycle.n, _zone_of(conn, cycle, zones))
        for cycle in differing(conn)
    ]


def differing(conn: Connection) -> Iterator[ClosedCycle]:
    """Yield the closed cycles whose digest is wrong in UTC and in the zone written down."""
    for cycles in closed_agrees.closed_cycles(conn, BATCH):
        digests = cycle_digests(conn, [cycle.id for cycle in cycles])
        for cycle in cycles:
            if digests[cycle.id] != cycle.digest and not _right_in(conn, cycle, cycle.zone):
                yield cycle


def repair(engine: Engine, zones: Sequence[str], *, actor: Actor) -> list[WrongDigest]:
    """Write down the zone of each cycle for which one was found; return what `wrong` does."""
    with marked(CrashPoint.DIGESTS_REPAIRED), engine.begin() as conn:
        found = wrong(conn, zones)
        proven = {each.cycle_id: each.zone for each in found if each.zone is not None}
        digest.add_zones(conn, proven, str(actor))
        if proven:
            audit.record(
                conn,
                actor=actor,
                action="close.repair_digests",
                subject="cycles",
                detail={"cycles": len(proven), "zones": sorted(set(proven.values()))},
            )
    return found


def _zone_of(conn: Connection, cycle: ClosedCycle, zones: Sequence[str]) -> str | None:
    return next((zone for zone in zones if _right_in(conn, cycle, zone)), None)


def _right_in(conn: Connection, cycle: ClosedCycle, zone: str | None) -> bool:
    if zone is None or zone not in available_timezones():
        return False
    return cycle_digests(conn, [cycle.id], zone)[cycle.id] == cycle.digest
