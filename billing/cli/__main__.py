"""`python -m billing.cli` is the `billing` command."""

from billing.cli import main

main()
