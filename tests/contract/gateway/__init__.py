"""What every kind of provider has to pass; `worlds` says how a kind gets in."""
