"""Cycles that are cut, and segments, attacked with plain SQL, as application and as owner."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import APP_ROLE, make_engine
from tests.conftest import Admin
from tests.store import attacks
from tests.store.attacks import run
from tests.store.test_core_promises import SCENE as CORE
from tests.store.test_core_promises import SUBSCRIPTION, an_id

CHANGE, OTHER_CHANGE = an_id("71"), an_id("72")
CUT = "'2026-02-11'"
SCENE = f"""{CORE};
INSERT INTO subscription_changes (subscription_id, kind, holds_from, asked_at, actor, why,
                                  change_id, applies)
VALUES ({SUBSCRIPTION}, 'schedule', {CUT}, {CUT}, 'cli:ann', 'asked', {CHANGE}, 'now'),
       ({SUBSCRIPTION}, 'schedule', {CUT}, {CUT}, 'cli:ann', 'asked', {OTHER_CHANGE}, 'now');
INSERT INTO segments (subscription_id, from_n, anchor_local, zone, every)
VALUES ({SUBSCRIPTION}, 0, '2026-01-01', 'UTC', '1 month')
"""
TABLES = ("cycles", "cycle_cuts", "segments")

assert_refused = partial(attacks.assert_refused, tables=TABLES)


def cut(at: str = CUT, n: int = 1, change: str = CHANGE) -> str:
    return (
        "INSERT INTO cycle_cuts (subscription_id, n, cut_at, change_id)"
        f" VALUES ({SUBSCRIPTION}, {n}, {at}, {change})"
    )


def following(start: str = CUT, n: int = 2, *, after_cut: bool = True) -> str:
    return (
        "INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan,"
        f" plan_version, opened_at, after_cut) VALUES ({an_id('c2')}, {SUBSCRIPTION}, {n},"
        f" 'regular', {start}, '2027-02-11', 'p', '2026-01-01', {CUT}, {after_cut})"
    )


def segment(**other: str) -> str:
    values = {
        "subscription_id": SUBSCRIPTION, "from_n": "1", "starts_at": "'2026-02-01'",
        "anchor_local": "'2026-02-01'", "zone": "'UTC'", "every": "'1 year'",
    } | other  # fmt: skip
    return f"INSERT INTO segments ({', '.join(values)}) VALUES ({', '.join(values.values())})"


REFUSED = {
    "a cut at the start of the period": ("is cut inside its period", cut("'2026-02-01'")),
    "a cut at its end": ("is cut inside its period", cut("'2026-03-01'")),
    "a cut of a cycle that isn't there": ("is cut inside its period", cut(n=2)),
    "a cut of a cycle that another one follows": (
        "is followed by another one",
        cut("'2026-01-11'", n=0),
    ),
    "a cut without the cycle that begins there": ("and none begins there", cut()),
    "a cut before a cycle that begins where the period ends": (
        "and none begins there",
        cut(),
        following("'2026-03-01'", after_cut=False),
    ),
    "a gap after a cut": ("cycles_follow_their_cut", cut(), following("'2026-02-12'")),
    "an overlap with a cut": ("cycles_follow_their_cut", cut(), following("'2026-02-10'")),
    "a cycle that follows no cut": ("cycles_follow_their_cut", following()),
    "a cycle in the middle without a cut": (
        "cycles_follow_without_gap",
        following(after_cut=False),
    ),
    "a second cut of a cycle": (
        "cycle_cuts_pkey|is followed by",
        cut(),
        cut("'2026-02-12'", change=OTHER_CHANGE),
    ),
    "a cut of no change": ("cycle_cuts_of_a_change", cut(change=an_id("99")), following()),
    "the first cycle after a cut": ("cycles_first_follows_none|cycles_one_each", following(n=0)),
    "a segment without its cycle": ("segments_begin_with_a_cycle", segment(from_n="2")),
    "a later segment without a start": (
        "segments_later_ones_have_a_start",
        segment(starts_at="NULL"),
    ),
    "a later segment with a trial": ("segments_trial_is_first", segment(trial="'14 days'")),
    "a second segment from a number": ("segments_pkey", segment(from_n="0")),
    "a month without a day": ("segments_anchored_once", segment(anchor_month="1")),
    "segments to come that are no list": (
        "subscriptions_segments_are_a_list",
        "UPDATE subscriptions SET segments_to_come = '{}'",
    ),
    "a segment ahead of its cycles": (
        "subscriptions_segment_has_begun",
        "UPDATE subscriptions SET segment_from_n = 9, segment_starts_at = '2026-09-01'",
    ),
    "a segment changed": (
        "permission denied|segments is append-only: UPDATE refused",
        "UPDATE segments SET zone = 'Asia/Tokyo'",
    ),
    "a segment deleted": (
        "permission denied|segments is append-only: DELETE refused",
        "DELETE FROM segments",
    ),
    "a cycle that is said to follow a cut": (
        "only its closing may be written|is closed",
        "UPDATE cycles SET after_cut = true WHERE n = 1",
    ),
}


@pytest.fixture(scope="module")
def scene(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    """The scene of the core promises, with changes that might cut, and a first segment."""
    statements = (*SCENE.split(";"),)
    with attacks.database("cut_promises", pg_server, admin, template_db, *statements) as url:
        yield url


@pytest.fixture(params=[APP_ROLE, None], ids=["application", "owner"])
def attacker(scene: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(scene, role=request.param)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_the_chain_or_a_segment_is_refused(attacker: Engine, name: str) -> None:
    says, *statements = REFUSED[name]
    assert_refused(attacker, says, *statements)


def test_a_cycle_begins_where_the_one_before_it_is_cut(attacker: Engine) -> None:
    with attacker.connect() as conn:
        run(conn, cut(), following(), segment(from_n="2", starts_at=CUT))
        run(conn, "SET CONSTRAINTS ALL IMMEDIATE")
        conn.rollback()


def test_a_cut_is_neither_moved_nor_taken_back(scene: str) -> None:
    owner = make_engine(scene, role=None)
    for statement in ("UPDATE cycle_cuts SET cut_at = '2026-02-12'", "DELETE FROM cycle_cuts"):
        assert_refused(owner, "append-only", cut(), following(), statement)
    assert_refused(owner, "append-only", "TRUNCATE cycle_cuts CASCADE")
    owner.dispose()
