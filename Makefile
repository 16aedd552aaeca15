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
PYTEST_ARGS ?= -n 3
BENCH_ARGS ?=
FUZZ_SECONDS ?= 60
GROUPS ?=
CLANG ?= clang++
ARM_CXX ?= aarch64-linux-gnu-g++
ARM_RUN ?= qemu-aarch64
PEERS ?= build/peers

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check --no-input
core := $(VENV)/.secondpass-core
dev := $(VENV)/.secondpass-dev
# What an installation is made from; an editable one reads the Python files in place.
build_files := pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*.?pp)
package_files := $(shell find src -type f -not -name '*.py[co]' | sed 's/ /\\ /g')
index := .demo/docs.index

# The kernels without Python, for the checks below.
core_build := cmake -S . -D SECONDPASS_EXTENSION=OFF -D SECONDPASS_WERROR=ON
native_tests := tests/test_native.py tests/unit/engine/test_native_backend.py \
	tests/conformance/test_backends.py::test_backend

.PHONY: help demo test hosts test-hosts lint types format bench peers check-fallback check-arm sanitize fuzz clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: $(core) ## Index docs/ and search it, before and after the second pass
	@mkdir -p $(dir $(index))
	$(bin)/secondpass index docs/ --index $(index)
	@for query in "How do I remove a document from the index?" "为什么要重排？"; do \
		printf '\n== before, first stage only: %s\n' "$$query"; \
		$(bin)/secondpass search "$$query" --index $(index) --top-k 3 --no-rerank; \
		printf '\n== after, second pass: %s\n' "$$query"; \
		$(bin)/secondpass search "$$query" --index $(index) --top-k 3; \
	done

# One thread a worker for the libraries of the tests: more would wait for each other.
test: $(dev) ## Run the tests; PYTEST_ARGS="-k words" narrows them
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(bin)/python -m pytest $(PYTEST_ARGS)

# Newest and oldest versions of each host, in environments of their own: GROUPS="langchain" narrows.
hosts: $(dev) ## Make the environments of the host frameworks in build/hosts
	$(bin)/python tests/hosts/environments.py make $(GROUPS)

test-hosts: $(dev) ## Run the tests of the guests in each host's own environment; GROUPS="..." narrows
	$(bin)/python tests/hosts/environments.py test $(GROUPS)

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

sanitize: $(dev) build/sanitize/address.done build/sanitize/thread.done ## Run the native tests under the sanitizers of GCC

# Leaks are looked for without Python, which leaves its own.
build/sanitize/address.done: sanitizers := address,undefined
build/sanitize/address.done: export ASAN_OPTIONS := detect_leaks=0:detect_stack_use_after_return=1
build/sanitize/address.done: export UBSAN_OPTIONS := print_stacktrace=1
build/sanitize/thread.done: sanitizers := thread
build/sanitize/thread.done: export TSAN_OPTIONS := \
	halt_on_error=1:ignore_noninstrumented_modules=1:die_after_fork=0
build/sanitize/%.done: $(build_files) $(wildcard native/tests/*)
	$(core_build) -B build/sanitize/$*-core -D SECONDPASS_SELF_TEST=ON \
		-D SECONDPASS_SANITIZE=$(sanitizers) -D CMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/sanitize/$*-core
	ASAN_OPTIONS=detect_leaks=1 build/sanitize/$*-core/secondpass_self_test
	.ci/sanitize $(bin)/python build/sanitize/$* $(sanitizers) $(native_tests)
	@touch $@

fuzz: ## Give the C++ any bytes as a model and rows, for FUZZ_SECONDS; needs clang++ (CLANG names it)
	@command -v $(CLANG) > /dev/null || { echo "make: no $(CLANG) on the path: libFuzzer comes with" \
		"Clang; install it, or name it: make CLANG=clang++-14 fuzz" >&2; exit 1; }
	$(core_build) -B build/fuzz -D SECONDPASS_FUZZ=ON -D SECONDPASS_SANITIZE=address,undefined \
		-D CMAKE_BUILD_TYPE=RelWithDebInfo -D CMAKE_CXX_COMPILER=$(CLANG)
	cmake --build build/fuzz
	@mkdir -p build/fuzz/corpus
	build/fuzz/secondpass_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=1024 -len_control=0 \
		-rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=build/fuzz/ build/fuzz/corpus

check-arm: ## Cross-compile the kernels for 64-bit ARM and test them under QEMU
	@for tool in $(ARM_CXX) $(ARM_RUN); do command -v "$$tool" > /dev/null || { \
		echo "make: no $$tool on the path; on Debian: apt install g++-aarch64-linux-gnu qemu-user" >&2; \
		exit 1; }; done
	$(core_build) -B build/arm -D SECONDPASS_SELF_TEST=ON -D CMAKE_BUILD_TYPE=Release \
		-D CMAKE_SYSTEM_NAME=Linux -D CMAKE_SYSTEM_PROCESSOR=aarch64 \
		-D CMAKE_CXX_COMPILER=$(ARM_CXX) -D CMAKE_EXE_LINKER_FLAGS=-static
	cmake --build build/arm
	$(ARM_RUN) -cpu max build/arm/secondpass_self_test | tee build/arm/max.txt
	grep -q neon_dotprod build/arm/max.txt
	# A processor without the dot product takes the portable kernels.
	$(ARM_RUN) -cpu cortex-a57 build/arm/secondpass_self_test > build/arm/old.txt
	! grep neon_dotprod build/arm/old.txt

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
