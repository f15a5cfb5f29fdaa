"""The fence: nothing is sent to an account before this database was compared with it.

A database that was restored from a backup, copied, or promoted after it lost commits knows less
than the provider, and would charge again what it doesn't know. So the provider's lists are read for
objects of this engine, once for every state of the database (`this_database`), before the first
call. When one is unknown here, the account is *recovering*: nothing is sent to it until
`recovering.recover` has adopted what is there.

The transaction that counts a send asks the fence, and the database refuses one that doesn't.
"""

import logging
import time
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import Final, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError, ErrorCode, Unavailable, first_line
from billing.flows.context import Context
from billing.flows.made_objects import made_of, unknown_since
from billing.rules.reconciliation.knowledge import (
    SKEW,
    FenceCause,
    FenceState,
    Made,
    MadeKind,
)
from billing.store import fences
from billing.store.identity import engine_id
from billing.store.subscriptions import customers

logger = logging.getLogger(__name__)

_one_at_a_time: Final = Lock()
_failures: Final[MutableMapping[Engine, dict[str, float]]] = WeakKeyDictionary()
_horizons: Final[MutableMapping[Engine, int]] = WeakKeyDictionary()

Begun = TypeVar("Begun")


class Uncompared(Unavailable):
    """The account at the provider can't be compared with the database now: nothing is sent."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"account {provider} can't be compared with this database", where=provider)


class Recovering(Unavailable):
    """The database is behind the provider: nothing is sent to the account until it recovered."""

    code = ErrorCode.RECOVERING


# --- asking -------------------------------------------------------------------------------------


def compared(context: Context, provider: str, *, sending: bool = False) -> bool:
    """Tell whether calls may be sent to an account; compare it first if it has to be.

    All others that have to be are compared first: what is due here may have been charged there.
    False where it is recovering. Raises `Unavailable`, `BadInput` where it can't be compared. Holds
    no transaction. `sending` tells that a call waits for the answer (see `check`).
    """
    known = _known(context, provider)
    if known is not None:
        return known
    asked = time.monotonic()
    with _one_at_a_time:  # many threads find out at the same moment
        known = _known(context, provider)
        if known is not None:
            return known
        failures = _failures.setdefault(context.engine, {})
        if failures.get(provider, 0.0) > asked:
            raise Unavailable(f"account {provider} can't be compared now", where=provider)
        for other in context.gateways.names:
            if other != provider and _known(context, other) is None:
                with suppress(BillingError):
                    _checked(context, other)
        return _checked(context, provider, sending=sending)


def _checked(context: Context, provider: str, *, sending: bool = False) -> bool:
    """Check an account, and remember that it couldn't be compared."""
    try:
        return check(context, provider, sending=sending)
    except BillingError as error:
        _failures.setdefault(context.engine, {})[provider] = time.monotonic()
        with marked(CrashPoint.FENCE_NOT_CHECKED), context.engine.begin() as conn:
            fences.could_not_compare(conn, provider, first_line(error))
        raise


def _known(context: Context, provider: str) -> bool | None:
    """Tell what the fence says; None where the account has to be compared."""
    engine, horizon = context.engine, horizon_seen(context.engine)
    with engine.connect() as conn:
        fence = fences.find(conn, provider)
    if fence is not None and fence.horizon < horizon:
        _set_back(engine, fence.horizon)
        return None
    if fence is None or not (fence.current or fence.state is FenceState.RECOVERING):
        return None
    saw_horizon(engine, fence.horizon)
    return fence.passes


def horizon_seen(engine: Engine) -> int:
    """Return the highest horizon that this process saw of a database; see `fences.Fence`.

    A statement that begins afterwards and reads a lower one reads storage that was set back, as by
    a snapshot of a running machine: nothing else tells, its server believes that it never stopped.
    """
    return _horizons.get(engine, 0)


def saw_horizon(engine: Engine, horizon: int) -> None:
    """Remember the horizon of a database."""
    _horizons[engine] = max(horizon, horizon_seen(engine))


def _set_back(engine: Engine, horizon: int) -> None:
    logger.error("the database was set back under this process: every account is compared again")
    _horizons[engine] = horizon
    with marked(CrashPoint.FENCE_DISTRUSTED), engine.begin() as conn:
        fences.distrust(conn)


def passes(context: Context, provider: str) -> bool:
    """Tell whether calls may be sent to an account, as `compared`; False too where it can't be."""
    try:
        return compared(context, provider)
    except BillingError as error:
        logger.warning("%s can't be compared, nothing is sent: %s", provider, first_line(error))
        return False


def held_accounts(engine: Engine, configured: Sequence[str]) -> list[str]:
    """Return the accounts whose cycles have to wait: recovering, or to be compared again.

    One that was never compared holds nothing: nothing was charged over it from here. Nor does one
    that is configured no more and so can't be compared.
    """
    with engine.connect() as conn:
        return [
            each.provider
            for each in fences.every(conn)
            if not each.passes and each.provider in configured
        ]


def require(context: Context, provider: str) -> None:
    """Compare an account that has to be; raise `Recovering` where nothing may be sent.

    Raises `Unavailable`, `BadInput` where it can't be compared. Holds no transaction.
    """
    if not compared(context, provider, sending=True):
        with context.engine.connect() as conn:
            refuse(conn, provider)


def insisted(context: Context, begin: Callable[[], Begun]) -> Begun:
    """Begin a call; where its account has to be compared first, compare it and begin again.

    Raises `Recovering`, `Uncompared`.
    """
    try:
        return begin()
    except (fences.Fenced, DBAPIError) as error:
        provider = fences.account_of(error)
        if provider is None:
            raise
    try:
        require(context, provider)
        return begin()
    except Recovering:
        raise
    except (BillingError, fences.Fenced) as error:
        raise Uncompared(provider) from error


def begun(context: Context, begin: Callable[[], Begun]) -> Begun | None:
    """Begin a call as `insisted` does; None where nothing may be sent now."""
    try:
        return insisted(context, begin)
    except (Recovering, Uncompared):
        return None


def refuse(conn: Connection, provider: str) -> None:
    """Raise `Recovering` where the account is, in the caller's transaction."""
    fence = fences.find(conn, provider)
    if fence is not None and fence.state is FenceState.RECOVERING:
        raise recovering(provider)


def recovering(provider: str) -> Recovering:
    """Return the error that says so."""
    what = f"the database is behind account {provider}: nothing is sent before it recovered"
    return Recovering(what, where=provider, provider=provider)


def refuse_charge_of(conn: Connection, customer_id: UUID, at: str) -> None:
    """Refuse a charge of a customer as `refuse` does; `insisted` checks an account that has to be.

    `at` is the account to be charged. In the caller's transaction, which `insisted` begins.
    """
    provider = fences.held_account(conn, customer_id, at)
    if provider is not None:
        refuse(conn, provider)
        raise fences.Fenced(provider)


def refuse_cycles_of(conn: Connection, customer_id: UUID, at: str | None) -> None:
    """Refuse to open a customer's cycles where the account is recovering, or has to be compared.

    One that was never compared refuses nothing, as for `held_accounts`. `at` is the
    account that the subscription names, if it names one. Raises `Unavailable`.
    """
    provider = fences.held_account(conn, customer_id, at)
    if provider is None or fences.find(conn, provider) is None:
        return
    refuse(conn, provider)
    what = f"account {provider} wasn't compared with this database yet: no cycle is opened"
    raise Unavailable(what, where=provider)


# --- checking -----------------------------------------------------------------------------------


def check(context: Context, provider: str, *, sending: bool = False) -> bool:
    """Compare an account with this database, and open or close its fence; True when it passes.

    Reads what was made since the newest call that is written down here, and stops at the first
    object that isn't. Where nothing was ever sent there is nothing to compare, and the fence is
    opened for a call that is about to be sent only: a database that was emptied, and into which a
    backup is restored, has to be compared afterwards. Raises `Unavailable`, `BadInput`.
    """
    now = context.clock.now()
    with context.engine.connect() as conn:
        database, since = fences.this_database(conn), known_since(conn, provider)
    if since is None and not sending:
        return True
    unknown = None
    arrived: list[UUID] = []
    if since is not None:
        pages = unknown_since(context, provider, since)
        unknown = next((each for page in pages for each in page), None)
        arrived = [] if unknown is None else _arrived_since(context, provider, since)
    with marked(CrashPoint.FENCE_CHECKED), context.engine.begin() as conn:
        if unknown is None:
            fences.open_for(conn, provider, database=database, known_until=now, now=now)
        else:
            close(conn, provider, unknown, FenceCause.BEHIND, since=since, now=now)
            for customer_id in arrived:
                if customers.find(conn, str(customer_id)) is not None:
                    customers.add_account(conn, customer_id, provider, now)
        fence = fences.find(conn, provider)
    return fence is not None and fence.passes


def _arrived_since(context: Context, provider: str, since: datetime) -> list[UUID]:
    """Return the customers whom this engine made at an account since then.

    Those that are known here, and not at this account, are held up elsewhere too, until it
    recovered.
    """
    with context.engine.connect() as conn:
        engine = engine_id(conn)
    pages = context.gateways.of(provider).list_customers(since=since)
    made = (each for page in pages for each in made_of(engine, MadeKind.CUSTOMER, page))
    return [each.ours for each in made]


def known_since(conn: Connection, provider: str) -> datetime | None:
    """Return from when on the provider's lists may hold what is unknown here.

    None where nothing was ever sent: ids that were made before a first customer don't come again.
    """
    fence = fences.find(conn, provider)
    newest = fences.newest_call(conn, provider)
    if newest is None:
        return None
    if fence is None or fence.known_until is None:
        return newest - SKEW
    if fence.state is FenceState.RECOVERING:
        return fence.known_until
    return max(newest, fence.known_until) - SKEW


def close(
    conn: Connection,
    provider: str,
    unknown: Made,
    cause: FenceCause,
    *,
    since: datetime | None,
    now: datetime,
) -> None:
    """Close the fence of an account because of an object that is unknown here.

    Everything that was made before `since` is known.
    """
    evidence = {
        "kind": str(unknown.kind),
        "ours": str(unknown.ours),
        "theirs": unknown.theirs,
        "created": unknown.created.isoformat(),
    }
    closed = fences.close_for(
        conn,
        provider,
        cause=cause,
        evidence=evidence,
        known_until=since,
        now=now,
    )
    if closed:
        logger.error("%s is recovering (%s): %s is unknown here", provider, cause, unknown.theirs)
