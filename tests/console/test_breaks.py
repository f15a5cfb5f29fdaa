"""Breaks worked off as finance does it: without the shell, several at once, after a preview."""

import pytest
from sqlalchemy import text

from billing.flows.service.api_keys import PersonRole
from tests.console.office import Browser, Office, Reader
from tests.console.test_pages import table
from tests.scenarios.world import World


@pytest.fixture
def broken(office: Office) -> list[str]:
    """Twenty movements at the provider that nobody here knows; the ids of their breaks."""
    world = office.world
    world.subscribed("video-premium")
    world.run_until("2026-01-03")
    for number in range(20):
        world.psp.take_money(700 + number)
    world.run_until("2026-01-10")
    world.close_books()
    world.run_until("2026-01-14")
    world.close_books()
    return [str(row.id) for row in world.breaks()]


def resolved(world: World) -> int:
    with world.engine.connect() as conn:
        query = text("SELECT count(*) FROM breaks WHERE resolved_at IS NOT NULL")
        return int(conn.execute(query).scalar_one())


def test_a_break_says_what_differs_and_why_that_may_be(
    office: Office, ann: Browser, broken: list[str]
) -> None:
    rows = table(ann, "/console/breaks")
    page = ann.page(f"/console/breaks/{broken[0]}")

    assert len(rows) == 20
    assert rows[0]["break"] == "unknown at provider"
    assert rows[0]["difference"] == "7.00 USD, only there"
    assert "made in the provider's dashboard" in rows[0]["probable cause"]
    assert ["amount", "\N{EN DASH}", "7.00 USD"] in page.rows
    assert ann.page("/console/breaks?kind=fee_mismatch").rows == []


def test_twenty_breaks_are_worked_off_at_once_after_a_preview(
    office: Office, broken: list[str]
) -> None:
    fin = office.person(PersonRole.FINANCE, "fin")
    query = "&".join(f"id={each}" for each in broken)
    preview = fin.page(f"/console/breaks/resolve?{query}&adjust=suggested")

    assert "Nothing has been done yet." in preview.text
    assert "psp_clearing is adjusted by" not in preview.text
    assert "The adjustments come to" in preview.text
    assert "debit psp clearing" in preview.text
    assert resolved(office.world) == 0

    form = {"id": broken, "adjust": "suggested", "reason": "gifts of the fair"}
    answer = fin.post("/console/breaks/resolve", form)

    assert "20 breaks are resolved" in Reader(answer.text).text
    assert resolved(office.world) == 20
    assert fin.page("/console/breaks").rows == []
    assert len(table(fin, "/console/breaks?resolved=yes")) == 20
    with office.world.engine.connect() as conn:
        told = conn.execute(
            text("SELECT DISTINCT actor, why FROM audit_log WHERE action = 'break.resolve'")
        ).all()
    assert [tuple(row) for row in told] == [("console:fin", "gifts of the fair")]
    office.world.assert_everything_adds_up()


def test_a_break_that_somebody_resolved_meanwhile_is_told_and_the_others_are_done(
    office: Office, broken: list[str]
) -> None:
    fin = office.person(PersonRole.FINANCE)
    first, second, *_ = broken
    fin.post("/console/breaks/resolve", {"id": [first], "adjust": "", "reason": "known"})

    answer = fin.post("/console/breaks/resolve", {"id": [first, second], "reason": "again"})

    told = Reader(answer.text)
    assert "1 break is resolved" in told.text
    assert first in told.text
    assert "is resolved: known" in told.text


def test_a_break_is_taken_noted_and_given_back(office: Office, broken: list[str]) -> None:
    fin = office.person(PersonRole.FINANCE, "fin")
    address = f"/console/breaks/{broken[0]}"
    fin.post(f"{address}/assign", {"to": "me"})
    fin.post(f"{address}/notes", {"words": "asked the fair"})

    page = fin.page(address)
    assert "assigned to fin" in page.text
    assert "asked the fair" in page.text
    assert len(table(fin, "/console/breaks?assigned_to=fin")) == 1

    fin.post(f"{address}/assign", {"to": "nobody"})
    assert fin.page("/console/breaks?assigned_to=fin").rows == []


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"adjust": "", "reason": ""}, "takes a reason"),
        ({"adjust": "seven", "reason": "x"}, "write it like 7.00 USD"),
        ({"adjust": "0.00 USD", "reason": "x"}, "adjusts nothing"),
        ({"adjust": "7.00 EUR", "reason": "x"}, "about"),
        ({"adjust": "", "reason": "x", "more": "y"}, "no such parameter"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_done(
    office: Office, broken: list[str], form: dict[str, str], told: str
) -> None:
    fin = office.person(PersonRole.FINANCE)

    answer = fin.post("/console/breaks/resolve", {"id": broken[:1], **form})

    assert answer.status_code == 422
    assert told in Reader(answer.text).text
    assert resolved(office.world) == 0


def test_one_amount_for_many_is_refused(office: Office, broken: list[str]) -> None:
    fin = office.person(PersonRole.FINANCE)

    form = {"id": broken[:2], "adjust": "7.00 USD", "reason": "x"}
    assert fin.post("/console/breaks/resolve", form).status_code == 422
    assert fin.get("/console/breaks/resolve").status_code == 422


def test_who_may_only_look_sees_the_preview_and_resolves_nothing(
    office: Office, broken: list[str]
) -> None:
    viewer = office.person(PersonRole.VIEWER)
    preview = viewer.page(f"/console/breaks/resolve?id={broken[0]}&adjust=suggested&reason=x")

    assert "needs the scope close" in preview.text
    form = {"id": broken[:1], "adjust": "", "reason": "x"}
    assert viewer.post("/console/breaks/resolve", form).status_code == 403
    assert viewer.post(f"/console/breaks/{broken[0]}/notes", {"words": "x"}).status_code == 403
    assert resolved(office.world) == 0
