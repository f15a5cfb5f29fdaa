"""`billing doctor`: everything the engine needs, looked at one by one, with a remedy each."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any, Final

import click

from billing.cli.checking import CHECKS, Looked, exit_code, looked
from billing.cli.commands.providers import answers
from billing.cli.output import Output, output_option
from billing.cli.session import Session
from billing.errors import BadInput, BillingError

_SKEW_MAX: Final = timedelta(seconds=2)


@click.command()
@output_option
@click.pass_obj
def doctor(session: Session, output: Output) -> int:
    """Check configuration, catalog, database, schema, Redis, provider, clock and write access.

    Ends with 4 if something doesn't answer, with 3 if something else is wrong.
    """
    found = list(_look(session))
    output.records([asdict(each) for each in found], CHECKS)
    return exit_code(found)


def _look(session: Session) -> Iterator[Looked]:
    """Look at everything; what can't be looked at without an earlier thing is skipped."""
    bad: set[str] = set()
    for name, needs, check in _CHECKS:
        missing = [need for need in needs if need in bad]
        if missing:
            found = [Looked(name, "skipped", f"needs the {missing[0]}")]
        elif check is None:
            found = _accounts(session, name)
        else:
            found = [looked(name, partial(check, session))]
        if any(each.result != "ok" for each in found):
            bad.add(name)
        yield from found


def _accounts(session: Session, check: str) -> list[Looked]:
    """Look at every account; the check is called by its name where there are several."""
    names = list(session.settings.providers)
    return [
        looked(check if len(names) == 1 else f"{check} {name}", partial(answers, session, name))
        for name in names
    ]


def _config(session: Session) -> str:
    return f"mode {session.settings.mode}"


def _catalog(session: Session) -> str:
    from billing.plans.load import load_catalog

    path = session.settings.plans.catalog
    return f"{len(load_catalog(path).plans)} plans in {path}"


def _database(session: Session) -> str:
    from billing.queries.database import server_version

    with session.owners_engine() as engine, engine.connect() as conn:
        version = server_version(conn)
    if version < 15:
        raise BadInput(f"PostgreSQL {version} is too old", remedy="use PostgreSQL 15 or newer")
    return f"PostgreSQL {version} answers"


def _schema(session: Session) -> str:
    from billing.queries.database import expected_revision

    assert session.engine is not None, "making it checks the schema"
    return f"revision {expected_revision()}"


def _writes(session: Session) -> str:
    """Write in a transaction that is taken back; and make sure that history can't be written."""
    from billing.queries.database import journal_rights, weakened
    from billing.workers.runtime.database import try_to_write

    try_to_write(session.engine, session.runtime.clock.wall())
    with session.connect() as conn:
        rights, unguarded = journal_rights(conn), weakened(conn)
    if not rights.may_post:
        raise BadInput("the role may not post to the ledger", remedy="run `billing db migrate`")
    if rights.may_rewrite:
        raise BillingError(
            "the role may change or delete postings; only triggers stop it",
            where="[database] role",
            remedy='set it to "billing_app"',
        )
    if unguarded:
        raise BillingError(
            f"triggers guard {len(unguarded)} table(s) less than they were made to, the first:"
            f" {unguarded[0]}",
            where="a restore of rows, or a person, disabled them",
            remedy="run `billing db migrate`, which puts them back",
        )
    return "may write, and may not rewrite the ledger"


def _redis(session: Session) -> str:
    import redis

    from billing.workers.runtime.broker import refusal

    client = session.runtime.broker.client
    client.ping()
    refused = refusal(session.runtime.broker)
    if refused is not None:
        raise BadInput(
            f"answers, and takes no messages: {refused}",
            where="[redis] url",
            remedy="make room (its content may be deleted), or connect to a server that takes"
            " writes: docs/operations.md#redis-takes-no-messages",
        )
    try:
        policy: Any = client.config_get("maxmemory-policy")
    except redis.ResponseError:  # a managed server that doesn't tell
        return "answers"
    if policy.get("maxmemory-policy", "noeviction") != "noeviction":
        raise BadInput(
            f"maxmemory-policy is {policy['maxmemory-policy']}: a full server drops messages",
            where="[redis] url",
            remedy="CONFIG SET maxmemory-policy noeviction",
        )
    return "answers"


def _clock(session: Session) -> str:
    """Leases run on real time: this machine and the database have to agree on it."""
    from billing.queries.database import server_clock

    with session.connect() as conn:
        theirs = server_clock(conn)
    ours = session.runtime.clock.wall()
    skew = abs(theirs - ours)
    if skew > _SKEW_MAX:
        raise BadInput(
            f"this machine and the database differ by {skew.total_seconds():.1f} s",
            remedy="synchronise both with NTP",
        )
    return f"agrees with the database; for the engine it is {session.now():%Y-%m-%d %H:%M} UTC"


_CHECKS: Final[tuple[tuple[str, tuple[str, ...], Callable[[Session], str] | None], ...]] = (
    ("configuration", (), _config),
    ("catalog", ("configuration",), _catalog),
    ("database", ("configuration",), _database),
    ("schema", ("configuration", "database"), _schema),
    ("write access", ("configuration", "database", "schema"), _writes),
    ("Redis", ("configuration",), _redis),
    ("provider", ("configuration",), None),  # each account
    ("clock", ("configuration", "database", "schema"), _clock),
)
