"""`billing db` and `billing config`: the schema, and the settings as they apply."""

import click

from billing.cli.failures import OK, SCHEMA_UNKNOWN
from billing.cli.output import Output, output_option, talk
from billing.cli.session import Session


@click.group("db")
def database() -> None:
    """The database's schema."""


@database.command()
@output_option
@click.pass_obj
def migrate(session: Session, output: Output) -> None:
    """Bring the schema forward to what this program needs.

    Needs a user that owns the tables. All or nothing: a migration that fails changes nothing. Puts
    triggers and foreign keys back that somebody, or a restore of rows, disabled.
    """
    from billing.workers.runtime.database import migrate as bring_forward
    from billing.workers.runtime.database import put_guards_back

    before, expected = _revisions(session)
    if before != expected:
        bring_forward(session.settings)
    guarded = put_guards_back(session.settings)
    after, _ = _revisions(session)
    words = f"the schema is at {after}" + ("" if before == after else f", it was at {before}")
    if guarded:
        words += f"; the triggers of {len(guarded)} table(s) guard them again"
    record = {"before": before, "revision": after, "changed": before != after, "guarded": guarded}
    output.message(record, words)


@database.command("status")
@output_option
@click.pass_obj
def db_status(session: Session, output: Output) -> int:
    """Show the schema's revision. Ends with 5 unless it is the one this program needs."""
    found, expected = _revisions(session)
    known = found == expected
    output.record({"revision": found, "expected": expected, "known": known})
    if not known:
        talk("bring it forward with `billing db migrate`, or run the version that belongs to it")
    return OK if known else SCHEMA_UNKNOWN


@database.command()
@click.option(
    "--login", default="billing_login", show_default=True, help="The user that the roles log in as."
)
@click.pass_obj
def roles(session: Session, login: str) -> None:
    """Print the SQL that makes the database's roles, for whoever may make roles.

    Needs no connection. With it `db migrate` runs as a plain user who owns the database's objects.
    """
    from billing.queries.database import APP_ROLE, roles_sql
    from billing.workers.runtime.runtime import named_database

    settings = session.settings
    database, owner = named_database(settings)
    role = settings.database.role or APP_ROLE
    click.echo(roles_sql(database=database, owner=owner, role=role, login=login), nl=False)


def _revisions(session: Session) -> tuple[str | None, str]:
    """Return the database's revision and the one this program needs."""
    from billing.queries.database import current_revision, expected_revision

    with session.owners_engine() as engine, engine.connect() as conn:
        return current_revision(conn), expected_revision()


@click.group()
def config() -> None:
    """The configuration."""


@config.command("show")
@output_option
@click.pass_obj
def config_show(session: Session, output: Output) -> None:
    """Show every setting as it applies, secrets masked."""
    settings = session.settings.show()
    if output.format != "table":
        output.record(settings)
        return
    output.records(
        [{"setting": key, "value": value} for key, value in settings.items()],
        ("setting", "value"),
    )
