"""`billing keys`: who may call the API."""

from typing import Any

import click

from billing.cli.options import Word, confirm, reason_option
from billing.cli.output import Output, output_option, talk
from billing.cli.session import Session, person

_COLUMNS = ("id", "name", "scopes", "created_at", "last_used_at", "revoked_at")
_SCOPES = ("read", "charge", "refund", "usage", "operate", "close", "admin")
_ROLES = ("viewer", "support", "operator", "finance", "admin")


@click.group()
def keys() -> None:
    """Keys of the API: who may call it, and what for."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=Word(_SCOPES),
    multiple=True,
    help=f"What it may do, once or more: {', '.join(_SCOPES)}.",
)
@click.option(
    "--role",
    "roles",
    type=Word(_ROLES),
    multiple=True,
    help=f"What a person does in the console, for the scopes it needs: {', '.join(_ROLES)}.",
)
@reason_option
@output_option
@click.pass_obj
def create(
    session: Session,
    name: str,
    scopes: tuple[str, ...],
    roles: tuple[str, ...],
    reason: str,
    output: Output,
) -> None:
    """Make a key and show it, this once.

    NAME is the caller, like shop or back-office, or a person, who logs in to the console with it.
    Keys of one name share their idempotency keys: to replace a key, make another one of the same
    name, change over, and revoke the old one.
    """
    from billing.flows.service import api_keys
    from billing.workers.runtime.peppers import pepper

    wanted = {api_keys.Scope(scope) for scope in scopes}
    wanted.update(*(api_keys.PersonRole(role).scopes for role in roles))
    key_id, key = api_keys.create(
        session.engine,
        name=name,
        scopes=sorted(wanted),
        pepper=pepper(session.settings),
        wall=session.runtime.clock.wall(),
        actor=person(),
        why=reason,
    )
    talk("keep it safe: it can't be shown again")
    record = {"id": key_id, "name": name, "scopes": sorted(wanted), "key": key}
    output.message(record, key)


@keys.command("list")
@output_option
@click.pass_obj
def list_(session: Session, output: Output) -> None:
    """List every key, without its secret."""
    from billing.queries.access import all_keys

    with session.connect() as conn:
        rows = all_keys(conn)
    records: list[dict[str, Any]] = [dict(row._mapping) for row in rows]
    output.records(records, _COLUMNS)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@click.option("--yes", "-y", is_flag=True, help="Don't ask for a confirmation.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@reason_option
@output_option
@click.pass_obj
def revoke(
    session: Session, key_id: str, yes: bool, dry_run: bool, reason: str, output: Output
) -> None:
    """Revoke a key: from now on it opens nothing."""
    from billing.errors import NotFound
    from billing.flows.service import api_keys
    from billing.queries.access import api_key

    with session.connect() as conn:
        row = api_key(conn, key_id)
    if row is None:
        raise NotFound(f"no key {key_id!r}", remedy="`billing keys list` shows them")
    words = f"revoke key {key_id} of {row.name}"
    if not dry_run:
        talk(f"this will {words}: whoever uses it is locked out at once")
        confirm("Revoke it?", yes=yes)
        api_keys.revoke(
            session.engine,
            key_id,
            wall=session.runtime.clock.wall(),
            actor=person(),
            why=reason,
        )
    record = {"action": "revoke", "dry_run": dry_run, "id": key_id, "words": words}
    output.message(record, f"would {words}" if dry_run else f"done: {words}")
