"""What the database refuses about numbers of a series: gaps, doubles, and numbers of no invoice.

Every attack is tried as the application's role and as the owner; a refused one changes nothing.
"""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import make_engine
from tests.conftest import Admin
from tests.store import attacks
from tests.store.test_core_promises import SCENE
from tests.store.test_credit_promises import ROLES

GIVEN = "INSERT INTO invoice_numbers (series, n) VALUES ('{}', {})"
# The scene's invoices are P-0000 and P-0001.
SCENE_OF_NUMBERS = (
    *SCENE.split(";"),
    "INSERT INTO invoice_series (series, last) VALUES ('P', 1)",
    GIVEN.format("P", 1),
)
COUNTED = "UPDATE invoice_series SET last = {}"
ATTACKS = {
    "a number twice": ("invoice_numbers_pkey", GIVEN.format("P", 1)),
    "a number behind a gap": ("invoice_numbers_follow|of_invoices", GIVEN.format("P", 3)),
    "a number of no invoice": ("invoice_numbers_of_invoices", GIVEN.format("P", 2)),
    "a number zero": ("invoice_numbers_n_check", GIVEN.format("P", 0)),
    "a series of small letters": (
        "invoice_series_series_check", "INSERT INTO invoice_series (series, last) VALUES ('p', 1)",
    ),
    "a number that is counted and never given": ("invoice_series_given", COUNTED.format(2)),
    "a series that begins with nothing": (
        "invoice_series_given", "INSERT INTO invoice_series (series, last) VALUES ('Q', 1)",
    ),
    "a counter that goes back": ("its numbers go on from 1", COUNTED.format(0)),
    "a counter that stands": ("its numbers go on from 1", COUNTED.format(1)),
}  # fmt: skip
EDITS = {
    "a number given to another series": "UPDATE invoice_numbers SET series = 'Q'",
    "a number taken back": "DELETE FROM invoice_numbers",
    "a series deleted": "DELETE FROM invoice_series",
    "a series renamed": "UPDATE invoice_series SET series = 'Q', last = 2",
    "all numbers deleted": "TRUNCATE invoice_numbers CASCADE",
    "all series deleted": "TRUNCATE invoice_series",
}


@pytest.fixture(scope="module")
def url(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    with attacks.database(
        "series_promises", pg_server, admin, template_db, *SCENE_OF_NUMBERS
    ) as found:
        yield found


@pytest.fixture(params=ROLES)
def anybody(request: pytest.FixtureRequest, url: str) -> Iterator[Engine]:
    engine = make_engine(url, role=request.param)
    yield engine
    engine.dispose()


refused = partial(attacks.assert_refused, tables=("invoice_series", "invoice_numbers"))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_numbers_is_refused(anybody: Engine, name: str) -> None:
    says, *statements = ATTACKS[name]

    refused(anybody, says, *statements)


@pytest.mark.parametrize("name", EDITS)
def test_numbers_are_never_changed(anybody: Engine, name: str) -> None:
    refused(anybody, "permission denied|append-only|its numbers go on", EDITS[name])
