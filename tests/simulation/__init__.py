"""The whole engine under one seeded schedule: see "The simulator" in CONTRIBUTING.md."""
