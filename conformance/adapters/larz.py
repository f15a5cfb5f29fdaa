"""The adapter for larzsubscription: a subscription as a state machine, with periods of days.

It has no time zone, no currency and no billing day; months and years are left to its caller.
"""

import json
import sys
from datetime import datetime
from importlib.metadata import version

from larzsubscription import Plan, Subscription

HELLO = {
    "protocol": 1,
    "engine": "larzsubscription",
    "version": version("larzsubscription"),
    "surface": "Plan and Subscription",
}
DAYS = {"day": 1, "week": 7}


class Unsupported(Exception):
    """It has no such thing."""


def dates(given):
    count, unit = given["every"].split()
    unit = unit.removesuffix("s")
    if unit not in DAYS or given["zone"] != "UTC" or any(key.startswith("anchor") for key in given):
        raise Unsupported("periods are a number of days, counted from the start")
    start = datetime.fromisoformat(given["start"])
    subscription = Subscription(Plan("case", "10.00", int(count) * DAYS[unit]), start)
    found = [subscription.period_start]
    while len(found) < given["count"]:
        subscription.renew(subscription.period_end)
        found.append(subscription.period_start)
    return {"dates": [str(each.date()) for each in found]}


def change(given):
    start, end, at = (datetime.fromisoformat(given[key]) for key in ("start", "end", "at"))
    days = (end - start).days
    subscription = Subscription(Plan("old", given["old"], days), start)
    net = subscription.change_plan(Plan("new", given["new"], days), at)
    return {"net": int(net.scaleb(2))}


KINDS = {"billing_dates": dates, "plan_change": change}


def answer(question):
    kind = KINDS.get(question["kind"])
    if kind is None:
        return {"unsupported": "not there"}
    try:
        return {"result": kind(question["input"])}
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    question = json.loads(line)
    reply = HELLO if "protocol" in question else answer(question)
    print(json.dumps({"id": question.get("id"), **reply}), flush=True)
