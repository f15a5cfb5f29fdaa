"""The account's balance: the sum of its balance transactions, by currency."""

from billing.sandbox.call import Call
from billing.sandbox.errors import Body, Reply
from billing.sandbox.params import Params, texts
from billing.sandbox.routing import Route

_SUMS = """
SELECT json_extract(body, '$.currency') AS currency,
       sum(iif(json_extract(body, '$.available_on') <= :now, net, 0)),
       sum(iif(json_extract(body, '$.available_on') > :now, net, 0))
FROM (SELECT body, json_extract(body, '$.amount') - json_extract(body, '$.fee') AS net
      FROM objects WHERE kind = 'balance_transaction' AND created <= :now
        AND json_extract(body, '$.hidden') IS NULL)
GROUP BY 1 ORDER BY 1
"""


def _retrieve(call: Call) -> Reply:
    rows = call.store.rows(_SUMS.replace(":now", str(int(call.now))))
    body: Body = {
        "object": "balance",
        "available": [_amount(currency, available) for currency, available, _ in rows],
        "livemode": False,
        "pending": [_amount(currency, pending) for currency, _, pending in rows],
    }
    return Reply(200, body)


def _amount(currency: str, amount: int) -> Body:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


ROUTES = (Route("GET", "/v1/balance", Params({"expand": texts}), _retrieve, "balance"),)
