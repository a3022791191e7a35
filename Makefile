# `make repro` and `make test` each do all the set-up they need: Python 3.11+, make and a package registry are enough.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := $(VENV)/.demo
BROWSER := $(VENV)/.browser
AUDIT := .cache/audit
# dvc.yaml runs `python -m stages.<stage>`: let that be the environment's Python.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro test test-fast lint format bench bench-large bench-gpu results pictures kaggle cluster lock clean \
  demo demo-setup browser-setup demo-picture fuzz audit interruptions determinism soak

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

setup: $(READY) ## create .venv with the pinned packages

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "error: $(PYTHON) cannot create a virtual environment (on Debian and Ubuntu: install python3-venv)" >&2; exit 2; }
	@echo "installing the pinned packages into $(VENV) (about 7 GB on disk, PyTorch with CUDA included)"
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

repro: $(READY) ## rebuild everything: data, model, evaluation
	@$(BIN)/dvc repro
	@$(BIN)/python -m dfdetect summary

test: $(READY) ## all tests, under 10 minutes on two cores
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal tests

test-fast: $(READY) ## all but the slow tests
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" tests

lint: $(READY) ## formatting, lint and types
	@$(BIN)/ruff format --check stages dfdetect synthetic benchmarks tests
	@$(BIN)/ruff check stages dfdetect synthetic benchmarks tests
	@$(BIN)/mypy

format: $(READY) ## put the formatting right
	@$(BIN)/ruff format stages dfdetect synthetic benchmarks tests
	@$(BIN)/ruff check --fix stages dfdetect synthetic benchmarks tests

fuzz: $(READY) ## a thousand hostile media files through the stages; minutes
	@$(BIN)/python -m tests.reliability.fuzz

audit: $(AUDIT)/.ready ## look the pinned packages up among known vulnerabilities
	@$(BIN)/python -m benchmarks.audit $(AUDIT)/bin/pip-audit

$(AUDIT)/.ready: $(READY) requirements/audit.txt
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(AUDIT)
	@$(BIN)/uv pip install --quiet --python $(AUDIT)/bin/python --no-deps --require-hashes -r requirements/audit.txt
	@touch $@

bench: $(READY) ## measure speed and memory; writes docs/benchmarks.md; CLIPS=DIR: on real clips too
	@$(BIN)/python -m benchmarks.bench $(if $(CLIPS),--clips "$(CLIPS)")

bench-large: $(READY) ## measure 20,000 videos' worth of rows; writes docs/benchmarks-large.md (needs 4 GB of disk)
	@$(BIN)/python -m benchmarks.bench_large

bench-gpu: $(READY) ## measure training and inference on a GPU; writes docs/benchmarks-gpu.md
	@$(BIN)/python -m benchmarks.bench_gpu

interruptions: $(READY) ## kill the data stages at 54 random moments and compare what they publish (half an hour)
	@$(BIN)/python -m benchmarks.interruptions

determinism: $(READY) ## the data stages' bytes under other workers, locales, listings, hash seeds (10 minutes)
	@$(BIN)/python -m benchmarks.determinism

soak: $(READY) ## 2,000 short clips, some hostile, through every data stage while workers are killed (an hour)
	@$(BIN)/python -m benchmarks.soak

results: $(READY) ## train and evaluate every detector on the sample; writes docs/results.md
	@$(BIN)/python -m benchmarks.results

pictures: $(READY) ## README's pictures, from the sample and the report (needs a Chromium)
	@$(BIN)/python -m benchmarks.pictures

kaggle: $(READY) ## add Kaggle's client, for datasets whose source is kaggle
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/kaggle.txt

cluster: $(READY) ## add Ray, for runtime.executor: ray
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements-cluster.txt

demo: $(DEMO) ## a web page to try the trained detector, on this machine alone
	@$(BIN)/python -m dfdetect demo

demo-setup: $(DEMO) ## add what the web page needs to .venv

$(DEMO): $(READY) requirements/demo.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/demo.txt
	@touch $(DEMO)

browser-setup: $(BROWSER) ## add what drives a browser, for the web page's test and picture

$(BROWSER): $(DEMO) requirements/browser.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/browser.txt
	@touch $(BROWSER)

demo-picture: $(BROWSER) ## photograph the web page for README; needs Chromium
	@$(BIN)/python -m benchmarks.demo_picture

lock: $(READY) ## compile requirements.txt, and the extras' files, anew from requirements/
	@$(BIN)/uv pip compile requirements/in.txt --override requirements/overrides.txt --generate-hashes --universal \
	  --python-version 3.11 --no-header --quiet --output-file requirements.txt
	@for extra in kaggle demo browser audit; do $(BIN)/uv pip compile requirements/$$extra.in --constraint requirements.txt \
	  --generate-hashes --universal --python-version 3.11 --no-header --quiet \
	  --output-file requirements/$$extra.txt || exit; done
	@$(BIN)/uv pip compile requirements/cluster.in --constraint requirements.txt --generate-hashes --universal \
	  --python-version 3.11 --no-header --quiet --output-file requirements-cluster.txt

clean: ## remove what can be rebuilt, the environment and caches included (data/, models/detector and DVC's cache stay)
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
