"""Braintree's XML API, spoken to its unmodified SDK, beside Stripe's in one process and one store.

    gate.py              keys, faults, the request key; runs the endpoint in one transaction
    routes.py            all endpoints; routing.py finds one
    call.py              what an endpoint works with: one merchant's part of the store
    xml.py, replies.py   values to XML and back; validation errors
    keys.py              api_request_key: 30 days, answered with the present state

    customers.py, methods.py, nonces.py, addresses.py       the vault
    transactions.py, outcomes.py, changes.py, history.py    sales, credits, what is done to them
    settling.py, summaries.py, reports.py                   the daily batch, disbursement, fees
    disputes.py, dispute_opening.py                         disputes
    notifications.py, posting.py, challenge.py              signed webhooks
    searching.py, transaction_search.py                     advanced searches

behaviours.py says what each nonce does, cards.py which numbers are taken, codes.py what the
processor and the validation say, and settings.py what the control API can set.
"""
