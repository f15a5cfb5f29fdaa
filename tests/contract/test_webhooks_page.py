"""What the page says about webhooks of the sandbox is what the sandbox takes."""

import json
import re
from pathlib import Path

import requests

from tests.contract.conftest import Shop
from tests.contract.receiver import receiving
from tests.waiting import PATIENCE, until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"


def test_the_endpoint_of_the_page_hears_what_happens_at_the_sandbox(shop: Shop) -> None:
    section = PAGE.read_text().split("## With the sandbox of `billing up`")[1].split("\n## ")[0]
    (sent,) = re.findall(r"-d '(\{.*\})'", section)
    (secret,) = json.loads(sent)["secrets"]

    with receiving() as receiver:
        named = sent.replace(json.loads(sent)["url"], receiver.url)
        made = requests.post(
            f"{shop.url}/_sandbox/webhooks", data=named, timeout=PATIENCE,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        assert made.status_code == 200, made.text
        shop.client().v1.customers.create()

        until(lambda: "customer.created" in receiver.types(secret))
