"""The demo's configuration: two accounts at the sandbox, and pauses as short as its year is."""

from typing import Final

# Real-time settings of the demo: pauses are short because a year is. Domain rules (ladders,
# catch-up, budgets) are the ones of config.toml.
SHORT_INTERVALS: Final = {
    "BILLING__MODE": "sandbox",
    "BILLING__DATABASE__URL": "embedded",
    "BILLING__PROVIDERS": "{}",  # those of config.toml are nobody's here
    "BILLING__PROVIDERS__STRIPE__API_KEY": "",
    "BILLING__PROVIDERS__STRIPE__API_BASE": "",
    "BILLING__REDIS__URL": "embedded",
    "BILLING__PROVIDERS__STRIPE__RATE_PER_SECOND": "2000",
    "BILLING__PROVIDERS__STRIPE__TIMEOUT_CONNECT": "2s",
    "BILLING__PROVIDERS__STRIPE__TIMEOUT_READ": "2s",
    "BILLING__PROVIDERS__STRIPE__DEADLINE": "3s",
    "BILLING__CHARGES__LEASE": "5s",
    "BILLING__RECONCILER__LEASE": "10s",
    "BILLING__CHARGES__UNKNOWN_BACKOFF": "30ms",
    "BILLING__CHARGES__UNKNOWN_BACKOFF_MAX": "1s",
    "BILLING__SCHEDULER__TICK": "20ms",
    "BILLING__SCHEDULER__DISPATCH_WINDOW": "1s",
    "BILLING__WORKER__POLL": "10ms",
    "BILLING__RECONCILER__TICK": "2s",
    "BILLING__RECONCILER__SETTLE_EVERY": "0s",
    "BILLING__LOGS__FORMAT": "console",
    "BILLING__LOGS__LEVEL": "warning",
}
# The sweep looks for lost webhooks every week or two of the demo's time.
LISTENING: Final = {
    "BILLING__WEBHOOKS__TICK": "200ms",
    "BILLING__WEBHOOKS__SWEEP_EVERY": "2s",
    "BILLING__WEBHOOKS__LIST_EVERY": "5s",
    "BILLING__API__GRPC_PORT": "0",
}

TAXES: Final = {
    "BILLING__TAX__PROVIDER": "table",
    "BILLING__TAX__COUNTRY": "DE",
    "BILLING__TAX__CHECK_VAT_IDS": "true",
}

# An account at the provider that pays out days later.
SECOND_ACCOUNT: Final = {
    "BILLING__PROVIDERS__STRIPE__DEFAULT": "true",
    "BILLING__PROVIDERS__BRAINTREE__RATE_PER_SECOND": "2000",
    "BILLING__PROVIDERS__BRAINTREE__TIMEOUT_CONNECT": "2s",
    "BILLING__PROVIDERS__BRAINTREE__TIMEOUT_READ": "2s",
    "BILLING__PROVIDERS__BRAINTREE__DEADLINE": "3s",
    "BILLING__PROVIDERS__BRAINTREE__MERCHANT_ACCOUNTS__EUR": "demo_eur",
    "BILLING__PROVIDERS__BRAINTREE__MERCHANT_ACCOUNTS__GBP": "demo_gbp",
}
