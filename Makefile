# Perennial: everything runs in .venv, made from requirements.lock on first use.
# Set-up talks to stderr, so that stdout is the target's own: make demo DEMO="--json" | jq .

PYTHON ?= python3
DEMO ?=
PYTEST ?=
# Two processes a core: tests wait for their servers a third of the time. Each has servers of its own.
# PYTEST="-n0 ..." runs in one process, for debuggers.
SPREAD := -n $(shell expr 2 '*' "$$(getconf _NPROCESSORS_ONLN)") --maxprocesses 8 --dist worksteal
BENCH ?=
MUTANTS ?=
SIMULATE ?=
CONFORMANCE ?= own
SOAK ?=
PLANT ?=
# The resolver of `make lock`: another one may write another lock.
UV := 0.13.9

MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
BIN := .venv/bin
# Names this very folder: a clone that was moved or copied gets a new .venv.
STAMP := .venv/installed-$(shell pwd | cksum | cut -d ' ' -f 1)

.NOTPARALLEL:
.PHONY: help demo up test test-all lint types imports pytest bench mutants attacks simulate plant crashes soak conformance proto lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 19

demo: $(STAMP) ## months of billing in seconds, with crashes, on embedded servers; DEMO="--months 2 --json"
	@$(BIN)/billing demo $(DEMO)

up: $(STAMP) ## run the engine on embedded servers until Ctrl-C
	@exec $(BIN)/billing up

# Types and imports are checked on one core: beside the tests, which takes a minute less than before them.
test: lint ## every check, with a share of the cases made in bulk; PYTEST="-k renewal" narrows the tests
	@$(MAKE) types imports & checks=$$!; \
	$(MAKE) pytest; tested=$$?; wait $$checks && exit $$tested

test-all: ## every check, with all cases that are made in bulk, of which `make test` runs a share
	@TEST_SHARE=all $(MAKE) test

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	@$(BIN)/mypy

imports: $(STAMP)
	@$(BIN)/lint-imports

# Hundreds of processes import the same modules: they are compiled once, before several would do it at once.
pytest: $(STAMP)
	@test -d tests/__pycache__ || PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -q >/dev/null || true
	@TMPDIR=$$(sh tools/test-tmp.sh) PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(SPREAD) $(PYTEST)

bench: $(STAMP) ## measure throughput on this machine
	@$(BIN)/python -m benchmarks $(BENCH)

mutants: $(STAMP) ## change the pure rules in every place and see whether a test notices; MUTANTS="billing.rules.periods*"
	@$(BIN)/python tools/mutants.py $(if $(MUTANTS),'$(MUTANTS)')

attacks: $(STAMP) ## change the data in every place and see who notices; writes docs/promises-attacked.md
	@TMPDIR=$$(sh tools/test-tmp.sh) $(BIN)/python -m tests.promises

simulate: $(STAMP) ## the engine under a seeded schedule of faults; SIMULATE="--seed 7 --cycles 100000"
	@TMPDIR=$$(sh tools/test-tmp.sh) $(BIN)/python -m tests.simulation $(SIMULATE)

soak: $(STAMP) ## the real processes under traffic and strikes, and whether anything grows; SOAK="--hours 1"
	@TMPDIR=$$(sh tools/test-tmp.sh) $(BIN)/python -m tests.soak $(SOAK)

conformance: $(STAMP) ## ask the engine what others publish, and write docs/conformance.md; CONFORMANCE=peers asks the peers
	@TMPDIR=$$(sh tools/test-tmp.sh) $(BIN)/python conformance/conformance_page.py $(CONFORMANCE)

crashes: $(STAMP) ## kill a process at every point of every flow, and write docs/crash-matrix.md
	@TEST_SHARE=all CRASH_MATRIX=write TMPDIR=$$(sh tools/test-tmp.sh) $(BIN)/python -m pytest -q $(SPREAD) tests/delivery/test_crash_matrix.py

plant: $(STAMP) ## faults in copies of the code, which the simulator has to find; PLANT="--only refund --cycles 2000"
	@TMPDIR=$$(sh tools/test-tmp.sh) $(BIN)/python -m tests.simulation.planting $(PLANT)

proto: $(STAMP) ## generate billing/api/generated anew from proto/
	@$(BIN)/python -m grpc_tools.protoc -I billing/api/generated=proto \
		--python_out=. --pyi_out=. --grpc_python_out=. \
		billing/api/generated/perennial/v1/payments.proto \
		billing/api/generated/perennial/v1/subscriptions.proto \
		billing/api/generated/perennial/v1/taxes.proto \
		billing/api/generated/perennial/v1/usage.proto

lock: $(STAMP) ## resolve pyproject.toml anew into requirements.lock, with hashes, for every platform
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV) 1>&2
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra embedded --extra temporal --extra tracing --upgrade \
		--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml
	@echo setuptools | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--constraint requirements.lock \
		--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --output-file requirements-runtime.lock pyproject.toml -

clean: ## delete .venv and caches; the embedded servers' data in .perennial stays
	@rm -rf mutants .venv .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

$(STAMP): requirements.lock pyproject.toml
	@sh tools/make-venv.sh '$(PYTHON)' 1>&2
	@touch $@
