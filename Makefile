# Encore, for developers. Every target sets up what it needs: Python 3.11 and make are enough.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

PORT ?= 8000
ARGS ?=
SIZES ?=
SOCKETS ?=
SEGMENTS ?=
# Test processes. Tests wait for processes and for the database, so three pay on two cores.
JOBS ?= 3
# Only ever raised.
COVERAGE_FLOOR ?= 90

PYTEST = $(BIN)/pytest -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo demo-generate demo-sync serve test coverage lint format openapi bench bench-duplication bench-watchers bench-neighbours bench-generation bench-sync clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv and install the pinned packages (other targets do it too).

# A virtual environment whose Python or pip doesn't run is made anew: a half-made one, or one
# that was moved.
$(INSTALLED): requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Encore needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
		{ echo "Creating the virtual environment $(VENV) …"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing packages into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-r requirements-dev.txt -c constraints.txt
	@touch $@

demo: $(INSTALLED) ## Duplicate an episode before your eyes. FILE=path.json, or PARTS= ITEMS= BLOCKS=
	@$(BIN)/python manage.py demo $(foreach name,file parts items blocks,$(call demo-option,$(name)))

demo-generate: $(INSTALLED) ## Generate an episode's audio, twice: the second from the cache. FILE=path.json
	@$(BIN)/python manage.py demo_generate $(call demo-option,file)

demo-sync: $(INSTALLED) ## Migrate a legacy database, change both sides, reconcile. SCALE=0.02
	@$(BIN)/python manage.py demo_sync $(call demo-option,scale)

# FILE=x becomes --file='x'; what isn't given is left out.
upper = $(shell printf %s '$(1)' | tr a-z A-Z)
demo-option = $(if $($(call upper,$(1))),--$(1)='$($(call upper,$(1)))')

serve: $(INSTALLED) ## Run web server and workers until Ctrl-C. PORT=8000
	@$(BIN)/python manage.py serve --port='$(PORT)'

test: $(INSTALLED) ## Run the tests. ARGS=tests/duplication narrows, JOBS=4 uses more processes.
	@$(PYTEST) $(ARGS)

coverage: $(INSTALLED) ## Run the tests and measure branch coverage against its floor.
	@$(PYTEST) --cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR) $(ARGS)

# No database is needed to read the code.
lint: export DATABASE_URL = postgres://unused
lint: $(INSTALLED) ## Check style, types, templates and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/djlint --quiet --check templates
	$(BIN)/djlint --quiet --lint templates

format: $(INSTALLED) ## Rewrite Python and templates in the project's style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djlint --quiet --reformat templates

openapi: export DATABASE_URL = postgres://unused
openapi: $(INSTALLED) ## Write docs/openapi.yaml from the views.
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

bench: bench-duplication bench-watchers bench-neighbours bench-generation bench-sync ## Run every benchmark.

bench-duplication: $(INSTALLED) ## Measure duplication beside other ways. SIZES=10000,100000
	@$(BIN)/python -m benchmarks.duplication $(if $(SIZES),--sizes='$(SIZES)')

bench-watchers: $(INSTALLED) ## Measure 1,000 websockets beside a bare consumer. SOCKETS=200
	@$(BIN)/python -m benchmarks.watchers $(if $(SOCKETS),--sockets='$(SOCKETS)')

bench-neighbours: $(INSTALLED) ## Measure everyday work beside a duplication. BLOCKS=100000
	@$(BIN)/python -m benchmarks.neighbours $(if $(BLOCKS),--blocks='$(BLOCKS)')

bench-generation: $(INSTALLED) ## Measure generations beside bare calls to a provider. SEGMENTS=100
	@$(BIN)/python -m benchmarks.generation $(if $(SEGMENTS),--segments='$(SEGMENTS)')

bench-sync: $(INSTALLED) ## Measure a migration's load and comparison beside bare SQL and others. SIZES=100000
	@$(BIN)/python -m benchmarks.sync $(if $(SIZES),--sizes='$(SIZES)')

clean: ## Remove what was built. Keeps your data: .env, .local (the database), media.
	rm -rf $(VENV) .coverage .coverage.* htmlcov staticfiles .pytest_cache .mypy_cache \
		.ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
