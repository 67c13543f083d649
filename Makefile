# Spillover's commands. `make` alone lists them.
# Everything is installed into .venv; the lab keeps its state in /var/lib/spillover and its cache in ~/.cache/spillover.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PLAYBOOK := $(BIN)/ansible-playbook
# PLAY="-l edge1 --tags mesh -e ..." passes anything on to ansible-playbook.
PLAY ?=
EXPERIMENT ?= heavy-load

export PATH := $(CURDIR)/$(BIN):$(PATH)
# uv trusts what this machine trusts, also behind a proxy with a certificate of its own.
export UV_NATIVE_TLS := 1

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: site
site: env ## stand up the lab, run the experiment, leave a report in results/
	$(PLAYBOOK) site.yml -e experiment=$(EXPERIMENT) $(PLAY)

.PHONY: lab
lab: env ## stand up the lab, or repair it, and run nothing
	$(PLAYBOOK) playbooks/standup.yml $(PLAY)

.PHONY: experiment
experiment: env ## run EXPERIMENT=name against the standing lab
	$(PLAYBOOK) playbooks/experiment.yml -e experiment=$(EXPERIMENT) $(PLAY)

.PHONY: teardown
teardown: env ## remove all of the lab and nothing else
	$(PLAYBOOK) playbooks/teardown.yml $(PLAY)

.PHONY: test
test: env test-binaries ## all tests that need no lab
	$(BIN)/pytest -m "not lab" -n 2

.PHONY: test-lab
test-lab: env test-binaries ## the tests that need the standing lab
	$(BIN)/pytest -m lab -n 0 tests/lab

.PHONY: soak
soak: env ## what takes its time on the standing lab: 10 minutes of changing rates with connections that last; a renewal of tokens
	SPILLOVER_SOAK_S=600 $(BIN)/pytest -m lab -n 0 tests/lab/test_soak.py tests/lab/test_tokens.py

.PHONY: bench-lab
bench-lab: env ## what docs/lab-benchmark.md says, measured anew on the standing lab (20 min)
	for name in controller filters reaction; do PYTHONPATH=tests/lab $(BIN)/python benchmarks/lab_$$name.py; done

.PHONY: test-roles
test-roles: env ## the molecule scenario: a second, small lab comes and goes
	$(BIN)/molecule test

.PHONY: test-binaries
test-binaries: env ## kube-apiserver, etcd, Prometheus and the Gateway API's definitions for the tests, built once
	$(PLAYBOOK) playbooks/binaries.yml -e '{"binaries_names": ["etcd", "kube-apiserver", "prometheus", "gateway-api"]}'

.PHONY: lint
lint: env ## style, types, layers, playbooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline

.PHONY: lock
lock: env ## resolve the dependencies anew: versions and hashes, no addresses
	$(BIN)/uv pip compile $(LOCK) --all-extras --group dev -o requirements/dev.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCK) -c requirements/dev.lock -o requirements/controller.lock pyproject.toml
	for name in envoy load uv workload; do \
	  $(BIN)/uv pip compile $(LOCK) -c requirements/dev.lock -o requirements/$$name.lock requirements/$$name.in; \
	done
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header

# The environment follows the lock: a changed lock, and only that, installs again.
.PHONY: env
env: $(VENV)/.installed ## the Python environment, from the hashed lock

$(VENV)/.installed: requirements/dev.lock requirements/uv.lock pyproject.toml
	@command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null \
	  || { apt-get update -qq; apt-get install -qq --yes --no-install-recommends python3 python3-venv; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Spillover needs Python 3.11 or newer, this machine has $$(python3 --version)." >&2; exit 2; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode --requirements requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
