"""Every mutant of the data is refused, or named by the proof, or is on a list with the reason.

One test: the story and the mutants take a while, and tests of one file
may run in several processes. A run tries a share of the places that mutants are made of.
"""

import re
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import event, text

from billing.embedded.servers import EmbeddedPostgres
from billing.flows.prove import examine
from billing.ledger.keys import EntryKind
from billing.rules.promises import DIFFERENCES, FindingKind
from tests.conftest import Admin
from tests.promises import catalogue, page, run, survivors
from tests.promises.by_hand import BY_HAND
from tests.promises.run import Results
from tests.promises.scene import Scene, after_the_story
from tests.promises.trial import Proof
from tests.shares import WHOLE, share

SHARES: Final = 6


def test_what_is_done_to_the_data_is_refused_or_named_or_has_a_reason(
    pg_server: EmbeddedPostgres, admin: Admin, template_db: str, tmp_path: Path
) -> None:
    with after_the_story(pg_server, admin, template_db, tmp_path) as scene:
        assert_the_story_is_whole_and_breaks_no_promise(scene)
        assert_mutants_are_shown_to_the_whole_proof(scene)
        results = run.tried_in(scene, partial(share, of=SHARES))

    assert_what_was_thought_of_is_named_as_what_it_is(results)
    assert_every_kind_of_finding_names_a_mutant(results)
    assert_what_survives_has_a_reason_and_every_reason_a_survivor(results)
    assert page.stands() == page.written(results, survivors.reasons()), "run `make attacks`"


def assert_the_story_is_whole_and_breaks_no_promise(scene: Scene) -> None:
    """It has a row in every table and an entry of every kind."""
    with scene.owner.connect() as conn:
        found = [each for result in examine(conn, scene.now) for each in result.findings]
        empty = [
            table.name for table in catalogue.described(conn) if not catalogue.sorts(conn, table)
        ]
        kinds = set(conn.execute(text("SELECT DISTINCT kind FROM ledger.entries")).scalars())

    assert found == []
    assert empty == []
    assert kinds == set(EntryKind)


def assert_mutants_are_shown_to_the_whole_proof(scene: Scene) -> None:
    """Every statement of the proof that finds something is that of one of the parts."""
    sent: set[str] = set()

    def listen(conn: object, cursor: object, statement: str, *_: object) -> None:
        sent.add(re.sub(r"\s+", " ", statement))

    event.listen(scene.owner, "before_cursor_execute", listen)
    try:
        with scene.owner.connect() as conn:
            examine(conn, scene.now)
        whole = set(sent)
        sent.clear()
        with scene.owner.connect() as conn:
            Proof(conn, scene.now).all_kinds(conn)
    finally:
        event.remove(scene.owner, "before_cursor_execute", listen)

    assert [each for each in whole - sent if not counts_or_informs(each)] == []


def counts_or_informs(statement: str) -> bool:
    counts = "count(*)" in statement and "AS found" not in statement
    return counts or "array_agg(kind ORDER BY kind)" in statement


def assert_what_was_thought_of_is_named_as_what_it_is(results: Results) -> None:
    named = {each.mutant.column: each.owner for each in results.by_hand}

    assert named.keys() == BY_HAND.keys()
    assert {
        name: named[name]
        for name, attack in BY_HAND.items()
        if named[name].refused or attack.named not in named[name].found
    } == {}


def assert_every_kind_of_finding_names_a_mutant(results: Results) -> None:
    outcomes = [*results.by_hand, *results.generated]
    named = {kind for each in outcomes for kind in each.owner.found}
    named |= set() if WHOLE else page.kinds_named()

    assert set(FindingKind) - DIFFERENCES - named == set()


def assert_what_survives_has_a_reason_and_every_reason_a_survivor(results: Results) -> None:
    surviving = [each.mutant for each in results.generated if each.owner.survives]
    known = survivors.reasons()
    places = {each.mutant.place for each in results.generated}

    assert survivors.unexplained(surviving, known) == []
    assert survivors.idle(surviving, known, places) == []
    assert survivors.nowhere(known, results.made) == []
