# `make demo` and `make test` need only Python 3.10 or newer (with venv), make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests install and start servers, in namespaces of their own, and read files as other users.
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTEST_ARGS ?=
# A process for each core; what shares fixtures stays together. None: PYTEST_WORKERS=0
PYTEST_WORKERS ?= auto

.PHONY: demo test soak soundness lint types wheels docs bench check clean
.DELETE_ON_ERROR:

demo: $(VENV)/ready
	$(BIN)/python examples/demo.py

test: $(VENV)/ready-test
	@[ -z "$(ROOT)" ] || echo "make test needs root for its throwaway servers and users; sudo may ask for your password"
	$(ROOT) sh tests/install-servers
	$(ROOT) env PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m pytest -p no:cacheprovider -n $(PYTEST_WORKERS) --dist loadscope $(PYTEST_ARGS)

soak: $(VENV)/ready-test
	$(ROOT) sh tests/install-servers
	$(ROOT) env PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m pytest -p no:cacheprovider --hypothesis-profile=soak tests/test_parity.py tests/soak_jobs.py

soundness: $(VENV)/ready-test
	env PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m pytest -p no:cacheprovider -n $(PYTEST_WORKERS) -rP --hypothesis-profile=soundness tests/test_loops_generated.py

lint: $(VENV)/ready-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --quiet --target=3.6- --violations --no-tips clustrix_core/engine.py clustrix_core/remote/agent.py clustrix_core/jobs/there.py clustrix_core/jobs/environment_there.py clustrix_core/testing/tree.py clustrix_core/testing/oracle.py

types: $(VENV)/ready-lint
	$(BIN)/mypy

wheels: $(VENV)/ready-test
	$(BIN)/python tests/check_wheels.py

docs: $(VENV)/ready-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/ready-bench
	@[ -z "$(ROOT)" ] || echo "make bench needs root for its throwaway servers; sudo may ask for your password"
	$(ROOT) sh tests/install-servers
	$(ROOT) $(BIN)/python benchmarks/run.py $(BENCH_ARGS)

check: test lint types wheels docs

clean:
	rm -rf $(VENV) build dist docs/_build

$(VENV)/ready: pyproject.toml plugins/local/pyproject.toml plugins/ssh/pyproject.toml plugins/slurm/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Clustrix needs Python 3.10 or newer; $(PYTHON) is older: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --editable plugins/local --editable plugins/ssh --editable plugins/slurm
	touch $@

$(VENV)/ready-%: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --group test --group $*
	touch $@
