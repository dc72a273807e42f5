# Two commands from a clean clone: `make demo` shows it, `make test` proves it. Both install what they need.
# Thin on purpose: what a target does lies in tools/, sandbox/ and bench/.

.DEFAULT_GOAL := help
.PHONY: demo test check bench help setup
MAKEFLAGS += --no-print-directory

python := .venv/bin/python

demo: setup ## kubectl, exec and logs through a tunnel, told step by step (KEEP=1 leaves it up; CONTEXT=name takes your cluster)
	@tools/install-system-packages --optional real-node
	@$(python) -m demo $(if $(KEEP),--keep) $(if $(CONTEXT),--context $(CONTEXT)) $(if $(YES),--yes)

test: setup ## all tests, against a real Kubernetes control plane (ARGS="-k name" chooses)
	@tools/install-system-packages --optional test
	@$(python) -m sandbox build
	@$(python) -m pytest $(ARGS)

check: setup ## format, lint, types, walls, unit and architecture tests: before each commit (ALL=1: everything)
	@tools/check $(if $(ALL),--all)

bench: setup ## speed and memory beside nginx in the same run (ARGS="--quick small" chooses)
	@tools/install-system-packages bench
	@$(python) -m bench $(ARGS)

setup:
	@tools/setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
