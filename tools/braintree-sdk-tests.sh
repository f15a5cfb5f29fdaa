#!/bin/sh
# braintree-sdk-tests.sh CHECKOUT [FILE...]: the integration tests of Braintree's SDK for Python against the sandbox.
# CHECKOUT is a clone of the SDK; FILE a path in it, all of tests/integration when none is named. Prints a line a file.
set -eu
checkout=$1; shift
here=$(cd "$(dirname "$0")/.." && pwd)
python=$here/.venv/bin/python
data=$(mktemp -d)
cd "$here"
"$python" -m billing.sandbox --data "$data/sandbox" --port-file "$data/port" 2>/dev/null &
sandbox=$!
trap 'kill $sandbox; wait $sandbox 2>/dev/null || true; rm -rf "$data"' EXIT
until [ -s "$data/port" ]; do sleep 0.1; done
GATEWAY_PORT=$(cat "$data/port"); export GATEWAY_PORT

settings() {
    curl -s -f -o "$data/answer" -H 'Content-Type: application/json' -d "$1" \
        "http://127.0.0.1:$GATEWAY_PORT/_sandbox/braintree/settings"
}
settings '{"custom_fields": ["store_me", "another_stored_field"], "merchant_accounts": {
    "sandbox_credit_card": {}, "sandbox_credit_card_non_default": {}, "fake_amex_direct_usd": {},
    "fake_first_data_merchant_account": {}, "us_bank_merchant_account": {}, "adyen_ma": {},
    "another_us_bank_merchant_account": {}, "three_d_secure_merchant_account": {}, "pinless_debit": {},
    "aib_swe_ma_merchant_account": {}, "card_processor_brl": {"currency": "BRL"}, "hiper_brl": {"currency": "BRL"}}}'
settings '{"merchant": "dup_checking_integration_merchant_id", "duplicate_transaction_checking": true}'
settings '{"merchant": "processing_rules_merchant_id", "gateway_rejects": ["cvv", "avs"]}'

cd "$checkout"
[ $# -gt 0 ] || set -- tests/integration/test_*.py
for file in "$@"; do
    timeout 150 "$python" -m pytest -q -p no:cacheprovider -W ignore "$file" >"$data/out" 2>&1 || true
    echo "$file: $(tail -1 "$data/out")"
done
