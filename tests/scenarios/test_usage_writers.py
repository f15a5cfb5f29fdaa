"""Many writers of usage at once, and writers that are killed: each event counts once."""

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.flows.prove import examine
from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.rules.item_changes import Applies
from billing.rules.usage import UsageNumber
from billing.store.engine import make_engine
from tests.processes import running
from tests.scenarios.metering import CATALOG, Usage
from tests.scenarios.test_item_changes import change
from tests.scenarios.test_usage_billed import METERED
from tests.scenarios.world import World

WRITERS = 200
AT_ONCE = 40
WRITE = """
import json, sys
from datetime import datetime
from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.rules.usage_rows import read_json
from billing.store.engine import make_engine

engine, book = make_engine(sys.argv[1]), UsageBook()
for line in open(sys.argv[3]):
    answer = ingest(engine, book, read_json(line), datetime.fromisoformat(sys.argv[2]))
    print(answer.accepted, flush=True)
"""


@pytest.fixture
def usage(world: World) -> Usage:
    """A subscriber in the middle of their first period."""
    world.publish(CATALOG)
    ada = world.subscribed("metered")
    world.run_until("2026-01-15T12:00:00")
    return Usage(world, ada)


def holds(usage: Usage) -> bool:
    with usage.world.engine.connect() as conn:
        return all(each.holds for each in examine(conn) if each.promise == 10)


def deadlocks(usage: Usage) -> int:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with usage.world.engine.connect() as conn:
        return int(conn.execute(text(query)).scalar_one())


def test_many_writers_of_one_subscription_wait_for_each_other_and_none_is_ended(
    usage: Usage, db_url: str
) -> None:
    """Half of what each of them sends is sent by others too, all in another order."""
    shared = [
        usage.event(name, n=UsageNumber("2"), user=f"u{n % 7}", ago=f"{n}s")
        for n in range(40)
        for name in ("search", "call", "gauge")
    ]
    own = [[usage.event(n=UsageNumber("1")) for _ in range(10)] for _ in range(WRITERS)]
    engine = make_engine(db_url, pool_size=AT_ONCE)
    book = UsageBook()

    def write(number: int) -> int:
        chance = random.Random(number)
        rows: list[Any] = [*own[number], *chance.sample(shared, 40)]
        chance.shuffle(rows)
        answer = ingest(engine, book, rows, usage.world.now)
        assert answer.accepted + len(answer.repeated) == len(rows)
        return answer.accepted

    with ThreadPoolExecutor(AT_ONCE) as writers:
        accepted = sum(writers.map(write, range(WRITERS)))
    engine.dispose()

    assert accepted == len(shared) + 10 * WRITERS
    assert usage.totals("events")["searches", 0] == str(40 + 10 * WRITERS)
    assert usage.totals("keys")["callers", 0] == "7"
    assert deadlocks(usage) == 0
    assert holds(usage)


def test_what_a_killed_writer_had_sent_is_sent_again_and_counts_once(
    usage: Usage, db_url: str, tmp_path: Path
) -> None:
    batches = [[usage.event() for _ in range(100)] for _ in range(60)]
    file = tmp_path / "batches.jsonl"
    file.write_text("\n".join(json.dumps(batch) for batch in batches))
    command = [sys.executable, "-c", WRITE, db_url, usage.world.now.isoformat(), str(file)]

    for answered in (1, 5, 9):
        with running(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(answered):
                assert writer.stdout.readline()
            writer.kill()
            writer.wait()
        assert holds(usage)
    for batch in batches:
        answer = usage.send(*batch)
        assert answer.accepted + len(answer.repeated) == 100

    assert usage.totals("events", "sum") == {("searches", 0): ("6000", "6000")}
    assert holds(usage)


def test_two_names_of_a_subscription_count_under_the_same_terms(world: World) -> None:
    """One name was read before a change, the other one after it."""
    plan = METERED[METERED.index("[[plan]]") :]
    world.publish(METERED + plan.replace('"team"', '"pro"').replace("0.10", "0.20"))
    ada = world.subscribed("team")
    world.run_until("2026-01-10")
    usage = Usage(world, ada)
    by_customer: dict[str, Any] = {
        "subscription": None,
        "customer": ada.customer,
        "item": "searches",
    }
    usage.send(usage.event(n=UsageNumber("1"), **by_customer))
    change(world, ada, Applies.NOW, plan="pro")
    world.run_until("2026-01-12")

    usage.send(usage.event(n=UsageNumber("1"), **by_customer), usage.event(n=UsageNumber("1")))

    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT segment, events FROM usage_totals ORDER BY segment"))
        assert [tuple(row) for row in rows] == [(0, 1), (1, 2)]
