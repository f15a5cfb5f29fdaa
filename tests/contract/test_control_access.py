"""The control API of the sandbox serves programs on this machine, and no web page open on it."""

from pathlib import Path

import pytest
import requests

from billing.sandbox import SandboxServer
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE

SECRETS = "webhooks"


def asked(shop: Shop, method: str, path: str, **given: object) -> int:
    answer = requests.request(
        method, f"{shop.url}/_sandbox/{path}", timeout=PATIENCE, **given,  # type: ignore[arg-type]
    )  # fmt: skip
    return answer.status_code


@pytest.mark.parametrize("path", ["webhooks", "reset", "clock"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_is_refused(shop: Shop, path: str, origin: str) -> None:
    assert asked(shop, "POST", path, headers={"Origin": origin}, json={}) == 403
    assert asked(shop, "GET", "clock", headers={"Origin": origin}) == 403


def test_a_name_that_leads_here_is_no_name_of_this_machine(shop: Shop) -> None:
    assert asked(shop, "GET", "clock", headers={"Host": "evil.example"}) == 403
    assert asked(shop, "GET", "clock", headers={"Host": "127.0.0.1.evil.example:80"}) == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_can_send_is_refused(shop: Shop, kind: str) -> None:
    headers = {"Content-Type": kind}

    assert asked(shop, "POST", "clock", headers=headers, data='{"now": 1800000000}') == 415


def test_programs_on_this_machine_are_served_by_either_name(shop: Shop) -> None:
    assert asked(shop, "GET", "clock") == 200
    assert asked(shop, "GET", "clock", headers={"Host": "localhost:8420"}) == 200
    assert asked(shop, "POST", "clock", json={"now": 1_800_000_000}) == 200


def test_its_data_is_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "sandbox"
    server = SandboxServer(folder)
    try:
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "sandbox.sqlite3").stat().st_mode & 0o077 == 0
    finally:
        server.stop()
