"""What `billing init` writes. Tests load both files as they stand here."""

from typing import Final

CONFIG: Final = """\
# Perennial's settings. What is left out has its default; docs/configuration.md describes every key.
# The environment overrides this file: BILLING__SCHEDULER__TICK=5s, or, for secrets,
# BILLING__PROVIDERS__STRIPE__API_KEY_FILE=/run/secrets/stripe_key

mode = "sandbox"            # "live" charges real cards

[database]
url = "embedded"            # or "postgresql://user@host:5432/billing"

[redis]
url = "embedded"            # or "redis://host:6379/0", used by nothing else

[embedded]
dir = ".perennial"          # where embedded servers keep their data; keep it out of version control

# Without a key, sandbox mode uses the sandbox that comes with the engine.
# [providers.stripe]
# kind = "stripe"
# rate_per_second = 25      # what the provider allows, over all processes

[plans]
catalog = "plans/catalog"   # every *.toml file in there

[scheduler]
tick = "1s"
catch_up = "bill"           # periods missed during a downtime: "bill", "skip" or "park"
catch_up_cap = 3            # more missed periods than this are parked, not billed

[dunning]
retry_after = ["3d", "5d", "7d"]   # after each decline; a plan may have its own ladder
then = "cancel"                    # or "unpaid"
"""

CATALOG: Final = """\
# What is sold. Check it with `billing plans check`, publish it with `billing plans apply`.
# A published version never changes: a new price is a new [[plan.version]] with a later date.
# Prices are text, read digit by digit; docs/plans.md describes every key.
product = "Example"

[[plan]]
code = "example-monthly"
name = "Example"
every = "1 month"           # or "2 weeks", "1 year", ...
trial = "14 days"           # leave it out to bill from the first day

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "9.99", EUR = "8.99" }

  # A later price. "keep": whoever subscribed before keeps the old one. "move": everybody pays
  # this from their first period that starts on that day or later.
  # [[plan.version]]
  # effective = 2027-01-01
  # existing = "keep"
  # price = { USD = "11.99", EUR = "10.99" }
"""
