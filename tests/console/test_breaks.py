"""Breaks worked off as finance does it: without the shell, several at once, after a preview."""

from uuid import UUID

import pytest
from sqlalchemy import text

from billing.flows.breaks import operator
from billing.flows.service.api_keys import PersonRole
from tests.console.console_under_test import Browser, ConsoleUnderTest, Reader, running_console
from tests.console.test_pages import table
from tests.scenarios.world import World


@pytest.fixture
def broken(console: ConsoleUnderTest) -> list[str]:
    """The ids of twenty breaks."""
    return find_breaks(console.world)


def find_breaks(world: World) -> list[str]:
    """Let there be twenty movements at the provider that nobody here knows, and find them."""
    world.subscribed("video-premium")
    world.run_until("2026-01-03")
    for number in range(20):
        world.psp.take_money(700 + number)
    world.run_until("2026-01-10")
    world.close_books()
    world.run_until("2026-01-14")
    world.close_books()
    found = sorted(world.breaks(), key=lambda row: int(row.theirs["amount"]))
    return [str(row.id) for row in found]


def resolved(world: World) -> int:
    with world.engine.connect() as conn:
        query = text("SELECT count(*) FROM breaks WHERE resolved_at IS NOT NULL")
        return int(conn.execute(query).scalar_one())


def test_a_break_says_what_differs_and_why_that_may_be(
    console: ConsoleUnderTest, ann: Browser, broken: list[str]
) -> None:
    rows = table(ann, "/console/breaks")
    page = ann.page(f"/console/breaks/{broken[0]}")

    assert len(rows) == 20
    assert rows[0]["break"] == "unknown at provider"
    assert {row["difference"] for row in rows} == {
        f"7.{cents:02} USD, only there" for cents in range(20)
    }
    assert "made in the provider's dashboard" in rows[0]["probable cause"]
    assert ["amount", "\N{EN DASH}", "7.00 USD"] in page.rows
    assert ann.page("/console/breaks?kind=fee_mismatch").rows == []


def test_twenty_breaks_are_worked_off_at_once_after_a_preview(
    console: ConsoleUnderTest, broken: list[str]
) -> None:
    fin = console.person(PersonRole.FINANCE, "fin")
    query = "&".join(f"id={each}" for each in broken)
    preview = fin.page(f"/console/breaks/resolve?{query}&adjust=suggested")

    assert "Nothing has been done yet." in preview.text
    assert "psp_clearing is adjusted by" not in preview.text
    assert "The adjustments come to" in preview.text
    assert "debit psp clearing" in preview.text
    assert resolved(console.world) == 0

    form = {"id": broken, "adjust": "suggested", "reason": "gifts of the fair"}
    answer = fin.post("/console/breaks/resolve", form)

    assert "20 breaks are resolved" in Reader(answer.text).text
    assert resolved(console.world) == 20
    assert fin.page("/console/breaks").rows == []
    assert len(table(fin, "/console/breaks?resolved=yes")) == 20
    with console.world.engine.connect() as conn:
        told = conn.execute(
            text("SELECT DISTINCT actor, why FROM audit_log WHERE action = 'break.resolve'")
        ).all()
    assert [tuple(row) for row in told] == [("console:fin", "gifts of the fair")]
    console.world.assert_promises_hold()


def test_a_break_that_somebody_resolved_meanwhile_is_told_and_the_others_are_done(
    console: ConsoleUnderTest, broken: list[str]
) -> None:
    fin = console.person(PersonRole.FINANCE)
    first, second, *_ = broken
    fin.post("/console/breaks/resolve", {"id": [first], "adjust": "", "reason": "known"})

    answer = fin.post("/console/breaks/resolve", {"id": [first, second], "reason": "again"})

    told = Reader(answer.text)
    assert "1 break is resolved" in told.text
    assert first in told.text
    assert "is resolved: known" in told.text


def test_a_break_is_taken_noted_and_given_back(
    console: ConsoleUnderTest, broken: list[str]
) -> None:
    fin = console.person(PersonRole.FINANCE, "fin")
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
    console: ConsoleUnderTest, broken: list[str], form: dict[str, str], told: str
) -> None:
    fin = console.person(PersonRole.FINANCE)

    answer = fin.post("/console/breaks/resolve", {"id": broken[:1], **form})

    assert answer.status_code == 422
    assert told in Reader(answer.text).text
    assert resolved(console.world) == 0


def test_one_amount_for_many_is_refused(console: ConsoleUnderTest, broken: list[str]) -> None:
    fin = console.person(PersonRole.FINANCE)

    form = {"id": broken[:2], "adjust": "7.00 USD", "reason": "x"}
    assert fin.post("/console/breaks/resolve", form).status_code == 422
    assert fin.get("/console/breaks/resolve").status_code == 422


def test_who_may_only_look_sees_the_preview_and_resolves_nothing(
    console: ConsoleUnderTest, broken: list[str]
) -> None:
    viewer = console.person(PersonRole.VIEWER)
    preview = viewer.page(f"/console/breaks/resolve?id={broken[0]}&adjust=suggested&reason=x")

    assert "needs the scope close" in preview.text
    form = {"id": broken[:1], "adjust": "", "reason": "x"}
    assert viewer.post("/console/breaks/resolve", form).status_code == 403
    assert viewer.post(f"/console/breaks/{broken[0]}/notes", {"words": "x"}).status_code == 403
    assert resolved(console.world) == 0


def test_an_adjustment_above_the_amount_takes_two_people(world: World) -> None:
    ids = find_breaks(world)
    with world.engine.connect() as conn:
        lacking = [operator.preview(conn, UUID(each), None).suggested for each in ids]
    amounts = [money.amount for money in lacking if money is not None]
    above = sorted(amounts)[10]
    most = [each for each, amount in zip(ids, amounts, strict=True) if amount > above]
    with running_console(world, second_person_above={"USD": f"{above / 100:.2f}"}) as console:
        ann = console.person(PersonRole.FINANCE, "ann")
        bob = console.person(PersonRole.FINANCE, "bob")
        form = {"id": ids, "adjust": "suggested", "reason": "gifts"}
        query = "&".join(f"id={each}" for each in ids)
        preview = ann.page(f"/console/breaks/resolve?{query}&adjust=suggested")
        assert preview.text.count("a second person has to agree") == len(most)

        told = Reader(ann.post("/console/breaks/resolve", form).text).text
        assert f"{20 - len(most)} breaks are resolved, {len(most)} wait for a" in told
        assert len(table(ann, "/console/breaks?proposed=yes")) == len(most)

        form["id"] = most
        told = Reader(ann.post("/console/breaks/resolve", form).text).text
        assert f"{len(most)} wait for a second person" in told, "nobody agrees with themselves"
        assert resolved(world) == 20 - len(most)

        page = bob.page(f"/console/breaks/{most[0]}")
        assert "console:ann proposes to adjust psp clearing by" in page.text
        assert "Resolving 1 break" in bob.page(page.link("Look at it and agree")).text
        told = Reader(bob.post("/console/breaks/resolve", form).text).text
        assert f"{len(most)} breaks are resolved" in told
        assert resolved(world) == 20
        assert "proposed by console:ann" in bob.page(f"/console/breaks/{most[0]}").text
        world.assert_promises_hold()


def test_another_amount_than_was_proposed_is_a_proposal_of_its_own(world: World) -> None:
    with running_console(world, second_person_above={"USD": "0.00"}) as console:
        first, *_ = find_breaks(world)
        ann = console.person(PersonRole.FINANCE, "ann")
        bob = console.person(PersonRole.FINANCE, "bob")
        ann.post("/console/breaks/resolve", {"id": first, "adjust": "7.00 USD", "reason": "x"})

        told = bob.post(
            "/console/breaks/resolve", {"id": first, "adjust": "6.00 USD", "reason": "y"}
        )

        assert "1 waits for a second person" in Reader(told.text).text
        assert resolved(world) == 0
        told = ann.post(
            "/console/breaks/resolve", {"id": first, "adjust": "6.00 USD", "reason": "y"}
        )
        assert "1 break is resolved" in Reader(told.text).text
