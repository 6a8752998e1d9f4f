# What a developer does more than once; `make help` lists it.
#
# Every target sets up what it needs: Python 3.11 or newer, make, and access to the package
# registries are enough, as root or as an ordinary user. What is set up stays, in .venv and
# .tools, until the files that it was made from change.

PYTHON ?= python3
# Tests wait for servers more than they compute: more workers than a small machine has cores.
WORKERS ?= 4
VENV ?= .venv
TOOLS ?= .tools

BIN := $(VENV)/bin
PLUGINS := tap-mobile-engagement target-postgres
KEPT := $(if $(filter-out 0 no false,$(KEEP)),--keep)

# Where the tests, the demo and scripts/install_azurite.py look for tools.
export TAP_TOOLS_DIR := $(abspath $(TOOLS))
# Where it is set, each of the tests' many processes compiles all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

UV := $(TOOLS)/uv/bin/uv
MELTANO := $(TOOLS)/meltano/bin/meltano

ENVIRONMENT := $(VENV)/.installed
AZURITE := $(TOOLS)/.azurite-installed
PLUGINS_INSTALLED := $(TOOLS)/meltano-plugins/.installed
SNOWFLAKE := $(TOOLS)/target-snowflake/.installed
JSONL := $(TOOLS)/target-jsonl/.installed
LIBRARY := $(TOOLS)/library/.installed
SPARK := $(TOOLS)/spark/.installed

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: setup lint types ## lint, types, and all tests, with Azurite, PostgreSQL and Meltano
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

.PHONY: unit
unit: $(ENVIRONMENT) ## the tests that need no server
	$(BIN)/pytest $(PYTEST_ARGS) -m "not azurite and not postgres and not meltano \
		and not packaging and not snowflake and not targets"

.PHONY: unit-all
unit-all: ## the same with every Python that is supported; a missing one fails
	MAKE="$(MAKE)" $(PYTHON) -m scripts.every_python PYTEST_ARGS="-n $(WORKERS) $(PYTEST_ARGS)"

.PHONY: lint
lint: $(ENVIRONMENT) ## rules and format of the code, and of the workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/zizmor --offline --quiet .github examples/ci/.github

.PHONY: types
types: $(ENVIRONMENT) ## the type checker
	$(BIN)/mypy

.PHONY: format
format: $(ENVIRONMENT) ## fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: demo
demo: setup-demo ## export tasks of a simulated service into PostgreSQL, twice; KEEP=1 keeps it
	$(BIN)/python -m scripts.demo $(KEPT) $(DEMO_ARGS)

.PHONY: demo-archive
demo-archive: setup-demo ## the same with export files that are already there
	$(BIN)/python -m scripts.demo.archive $(KEPT)

.PHONY: bench
bench: $(ENVIRONMENT) ## records a second beside the tap's peers, and what no tap can beat
	$(BIN)/python -m benchmarks.compare $(BENCH_ARGS)

.PHONY: settings
settings: $(ENVIRONMENT) ## renew the settings in meltano.yml, the hub file and the docs
	$(BIN)/python -m scripts.render_settings

.PHONY: setup setup-demo
setup: $(ENVIRONMENT) $(AZURITE) $(PLUGINS_INSTALLED) $(SNOWFLAKE) $(JSONL) $(LIBRARY) $(SPARK) ## everything that the tests need
setup-demo: $(ENVIRONMENT) $(PLUGINS_INSTALLED)

.PHONY: constraints
constraints: ## renew the exact versions in requirements/
	$(PYTHON) -m scripts.renew_constraints

.PHONY: clean
clean: ## remove everything that was set up or made
	rm -rf $(VENV) .venv-3.* $(TOOLS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ----------------------------------------------------------------------------------

# $(call make-venv,FOLDER): an environment, unless there is one whose Python still exists.
make-venv = test -x $(1)/bin/python || $(PYTHON) -m venv --clear $(1)

# uv does in seconds what pip does in a minute. Meltano installs plugins with it in any case;
# this is the version that Meltano is pinned with.
$(UV): requirements/meltano.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(\
		"Python 3.11 or newer, please: make PYTHON=python3.13 ...")'
	$(call make-venv,$(TOOLS)/uv)
	$(TOOLS)/uv/bin/python -m pip install --quiet --disable-pip-version-check -c $< uv
	touch $@

$(ENVIRONMENT): $(UV) pyproject.toml requirements/constraints.txt
	$(call make-venv,$(VENV))
	$(UV) pip install --quiet --python $(BIN)/python -c requirements/constraints.txt \
		-e '.[dev]'
	touch $@

$(AZURITE): scripts/install_azurite.py $(ENVIRONMENT)
	$(BIN)/python scripts/install_azurite.py
	touch $@

$(MELTANO): $(UV) requirements/meltano.txt
	$(call make-venv,$(TOOLS)/meltano)
	$(UV) pip install --quiet --python $(TOOLS)/meltano/bin/python -r requirements/meltano.txt
	touch $@

$(PLUGINS_INSTALLED): $(MELTANO) meltano.yml pyproject.toml \
		requirements/constraints.txt requirements/target-postgres.txt
	MELTANO_SYS_DIR_ROOT=$(dir $(abspath $@)) $(MELTANO) install $(PLUGINS)
	touch $@

# Targets beside Meltano's, each in an environment of its own: what they need does not go together.
$(SNOWFLAKE) $(JSONL): $(TOOLS)/%/.installed: $(UV) requirements/%.txt
	$(call make-venv,$(@D))
	$(UV) pip install --quiet --python $(@D)/bin/python -r requirements/$*.txt
	touch $@

# What reads the tap's files in the examples of docs/library.md, and Spark.
$(LIBRARY) $(SPARK): $(TOOLS)/%/.installed: $(UV) pyproject.toml requirements/%.txt
	$(call make-venv,$(@D))
	$(UV) pip install --quiet --python $(@D)/bin/python -r requirements/$*.txt \
		-e '.[parquet]'
	touch $@
