"""What the roles write is JSON, line by line, and says who wrote it."""

import json
from datetime import timedelta
from pathlib import Path

from tests.delivery.engine_under_test import EngineUnderTest


def test_every_line_of_every_role_is_json_with_its_role_and_process(tmp_path: Path) -> None:
    with EngineUnderTest(tmp_path, logs__format="json", logs__level="info") as engine:
        engine.populate(3)
        engine.run(lambda: engine.let_pass(timedelta(days=2)))
        engine.wait_until_quiet()

    written = {
        role: [json.loads(line) for line in file.read_text().splitlines()]
        for role in ("scheduler", "worker", "reconciler")
        for file in [tmp_path / "logs" / f"{role}-1.log"]
    }
    for role, lines in written.items():
        assert lines
        assert {line["role"] for line in lines} == {role}
        assert len({line["pid"] for line in lines}) == 1
    charges = [line for line in written["worker"] if line["event"] == "charge"]
    cycles = [line for line in written["scheduler"] if line["event"] == "cycle"]
    assert [line["outcome"] for line in charges] == ["succeeded"] * 3
    assert {line["payment"] for line in charges} == {line["payment"] for line in cycles}
