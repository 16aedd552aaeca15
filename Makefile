# One command each; everything happens in .venv, which is made when it is missing.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The first Python on the path that the package supports; `make PYTHON=python3.12 test` overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$p" && break; done)
VENV ?= .venv
PYTEST_ARGS ?= -n 2
BENCH_ARGS ?=
PEERS ?= build/peers

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check --no-input
core := $(VENV)/.secondpass-core
dev := $(VENV)/.secondpass-dev
# What an installation is made from; an editable one reads the Python files in place.
build_files := pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*)
package_files := $(shell find src -type f -not -name '*.py[co]' | sed 's/ /\\ /g')
index := .demo/docs.index

.PHONY: help demo test lint types format bench peers check-fallback clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: $(core) ## Index docs/ and search it, before and after the second pass
	@mkdir -p $(dir $(index))
	$(bin)/secondpass index docs/ --index $(index)
	@for query in "What is a cross-encoder?" "为什么要重排？"; do \
		printf '\n== before, first stage only: %s\n' "$$query"; \
		$(bin)/secondpass search "$$query" --index $(index) --top-k 3 --no-rerank; \
		printf '\n== after, second pass: %s\n' "$$query"; \
		$(bin)/secondpass search "$$query" --index $(index) --top-k 3; \
	done

# One thread a worker for the libraries of the tests: more would wait for each other.
test: $(dev) ## Run the tests; PYTEST_ARGS="-k words" narrows them
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(bin)/python -m pytest $(PYTEST_ARGS)

lint: $(dev) ## Check style, format and the direction of imports
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/lint-imports --no-cache

types: $(dev) ## Check types
	$(bin)/mypy

format: $(dev) ## Mend what can be mended of style and format
	$(bin)/ruff check --fix
	$(bin)/ruff format

bench: $(dev) ## Measure, each script of benchmarks/ in turn
	@set -e; for script in benchmarks/*.py; do \
		echo "== $$script"; $(bin)/python "$$script" $(BENCH_ARGS); \
	done

peers: ## Install the engines that benchmarks/speed.py compares with, each in $(PEERS)
	@set -e; for list in benchmarks/peers/*.txt; do \
		name=$$(basename "$$list" .txt); echo "== $$name"; \
		[ -d "$(PEERS)/$$name" ] || $(PYTHON) -m venv "$(PEERS)/$$name"; \
		"$(PEERS)/$$name/bin/python" -m pip --disable-pip-version-check --no-input install -q \
			-r "$$list" || echo "make: $$name cannot be installed here; it will be left out" >&2; \
	done

check-fallback: $(bin)/python ## Install without a C++ compiler, into an environment of its own
	rm -rf build/fallback
	$(bin)/python -m venv build/fallback
	CC=false CXX=false build/fallback/bin/python -m pip --disable-pip-version-check --no-input \
		install --quiet -c constraints.txt .
	cd build/fallback && bin/python -c 'import importlib.util as u, secondpass.engine; \
		assert u.find_spec("secondpass._native") is None, "the native extension was built"'
	printf 'Pandas eat bamboo.\nParis is in France.\n' > build/fallback/texts.txt
	build/fallback/bin/secondpass rerank "What do pandas eat?" build/fallback/texts.txt --top-k 1 \
		| grep bamboo
	rm -rf build/fallback

clean: ## Remove what the other commands made, but .venv
	rm -rf build dist .demo .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(bin)/python:
	@[ -n "$(PYTHON)" ] || { echo "make: no Python 3.11 to 3.13 on the path;" \
		"install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The development installation is editable and serves for both.
$(core): $(build_files) $(package_files) | $(bin)/python
	@[ -e $(dev) ] || { set -x; $(pip) install --quiet -c constraints.txt .; }
	@touch $@

$(dev): $(build_files) | $(bin)/python
	$(pip) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@
