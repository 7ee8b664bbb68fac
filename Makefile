# Every target sets up what it needs first (tools/setup.sh; nothing to do the second time).
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 12

setup:  ## make .venv: Python >=3.12,<3.14, ESPnet 202611, PyTorch 2.11, this package
	@tools/setup.sh

demo: setup  ## the whole road on 5.4 h of recorded speech, ending in a table of error rates
	@cd egs2/debvox/birq1 && ./demo.sh

lint: setup  ## ruff and shellcheck
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@tools/shell_files.sh | tr '\n' '\0' | xargs -0 .venv/bin/shellcheck

test: lint  ## lint, then all tests
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest

bench: setup  ## measurements; results as CSV beside the scripts in benchmarks/
	@set -e; for script in benchmarks/*.py; do echo "$$script"; OMP_NUM_THREADS=1 .venv/bin/python "$$script"; done

clean:  ## remove the environment and caches; recipes keep their data and experiments
	rm -rf .venv .venv-tools build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
