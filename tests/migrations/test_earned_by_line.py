"""What was earned and given back of invoices before it was of lines: it is split over them."""

from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from billing.flows import prove
from billing.rules.promises import Finding, FindingKind
from billing.sandbox import SandboxServer
from billing.store.schema import migrate
from tests.scenarios.world import World

MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "migrations"
Rows = list[tuple[Any, ...]]

EARNED: Final = (
    "SELECT invoice_id, through, sum(amount) FROM revenue_recognitions GROUP BY 1, 2 ORDER BY 1, 2"
)
GIVEN_BACK: Final = """
    SELECT x.id, x.recognised, x.deferred, x.tax
      FROM (SELECT f.id, f.payment_id, f.recognised, f.deferred, f.tax FROM refunds f
             WHERE f.state NOT IN ('failed', 'canceled')
             UNION ALL
            SELECT d.id, d.payment_id, d.lost_recognised, d.lost_deferred, d.lost_tax
              FROM disputes d WHERE d.state = 'lost') x
      JOIN payments p ON p.id = x.payment_id AND p.invoice_id IS NOT NULL ORDER BY x.id
"""
OF_LINES: Final = """
    SELECT source_id, sum(recognised), sum(deferred), sum(tax) FROM line_parts
     WHERE kind IN ('refund', 'dispute') GROUP BY 1 ORDER BY 1
"""


def query(url: str, statement: str) -> Rows:
    with psycopg.connect(url) as conn:
        return conn.execute(statement.encode()).fetchall()


def upgrade(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", url.replace("postgresql://", "postgresql+psycopg://"))
    command.upgrade(config, revision)


@pytest.fixture
def before_url(released_url: str) -> str:
    """The release's data at the schema before; every invoice that was paid has three lines."""
    upgrade(released_url, "0057")
    with psycopg.connect(released_url) as conn:
        conn.execute("ALTER TABLE invoice_lines DISABLE TRIGGER USER")
        conn.execute(
            "CREATE TEMP TABLE several AS SELECT i.id, l.amount / 3 AS part FROM invoices i"
            "  JOIN invoice_lines l ON l.invoice_id = i.id"
            " WHERE i.net > 2 AND i.status <> 'open'"
            "   AND (SELECT count(*) FROM invoice_lines o WHERE o.invoice_id = i.id) = 1"
        )
        conn.execute(
            "UPDATE invoice_lines l SET amount = amount - s.part - 1, unit_amount = NULL"
            "  FROM several s WHERE s.id = l.invoice_id"
        )
        conn.execute(
            "INSERT INTO invoice_lines (invoice_id, line, description, quantity, amount)"
            " SELECT id, 2, 'Seats', 1, part FROM several WHERE part > 0"
            " UNION ALL SELECT id, 3, 'Rest', 1, 1 FROM several"
        )
        conn.execute("ALTER TABLE invoice_lines ENABLE TRIGGER USER")
    return released_url


def test_what_was_earned_and_given_back_is_that_of_all_lines(before_url: str) -> None:
    earned, given_back = query(before_url, EARNED), query(before_url, GIVEN_BACK)
    assert earned
    assert given_back

    migrate(before_url)

    assert query(before_url, EARNED) == earned
    assert query(before_url, OF_LINES) == given_back
    lines = query(before_url, "SELECT DISTINCT line FROM revenue_recognitions ORDER BY 1")
    assert lines == [(1,), (2,), (3,)]


def test_several_lines_prove_and_go_on_being_earned(
    before_url: str, released_provider: SandboxServer, tmp_path: Path
) -> None:
    migrate(before_url)
    world = World(before_url, released_provider.url, tmp_path / "catalog", continued=True)
    try:
        assert findings(world) == []
        world.settle()
        world.close_books()
        assert query(before_url, UNEARNED) == []
        assert findings(world) == []
    finally:
        world.close()


UNEARNED: Final = """
    SELECT i.number FROM invoices i JOIN cycles c ON c.id = i.cycle_id
     WHERE i.status = 'paid' AND c.period_end < '2026-03-01' AND i.recognise_at IS NOT NULL
"""


def findings(world: World) -> list[object]:
    """Return what the proof finds but the digests of cycles, which closed with one line."""
    found = [each for of in prove.prove(world.engine, world.now) for each in of.findings]
    return [
        each
        for each in found
        if not (isinstance(each, Finding) and each.kind is FindingKind.DIGEST_DIFFERS)
    ]
