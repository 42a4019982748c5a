# Each target sets up its own virtual environment; `make demo` and `make test` need nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Small matrices: one thread for each of the worker processes is fastest.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-fast test-kills test-oldest test-newest lint evaluate advise zoo study bench bench-real docs clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# A release of torch for the CPU is used where pip finds one for the pinned version.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	touch $@

demo: $(VENV)/.installed-all  ## diagnose three new networks and do what is advised
	$(BIN)/hessdiag demo --out demo-output

test: lint  ## everything that must hold: lint, docstrings, tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-kills: $(VENV)/.installed-tests  ## builds and studies killed at 20 random moments each: some minutes
	HESSDIAG_KILLS=20 $(BIN)/python -m pytest tests/test_kills.py

test-fast: $(VENV)/.installed-tests  ## the tests that take less than a second or two each
	$(BIN)/python -m pytest tests -n 2 --dist worksteal -m "not slow"

# torch of these two brings its CUDA libraries where pip finds no release for the CPU: 5 GB each.
$(VENV)-oldest/.installed: pyproject.toml constraints-oldest.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints-oldest.txt -e ".[tests]"
	touch $@

test-oldest: $(VENV)-oldest/.installed  ## the tests with the oldest releases (Python 3.11 or 3.12)
	$(VENV)-oldest/bin/python -m pytest -n 2 --dist worksteal

test-newest:  ## the tests with the newest releases of everything, fetched anew
	test -x $(VENV)-newest/bin/python || $(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet --disable-pip-version-check \
		--upgrade --upgrade-strategy eager -e ".[tests]"
	$(VENV)-newest/bin/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.installed-tests $(VENV)/.installed-lint  ## ruff and mypy; docstrings are validated by the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

evaluate: $(VENV)/.installed-all  ## score the diagnosis on unseen data sets, beside its rivals
	$(BIN)/hessdiag zoo evaluate --json benchmarks/evaluation.json

advise: $(VENV)/.installed-all  ## test the advice by doing it, on unseen data sets; resumes
	$(BIN)/hessdiag zoo advise --out advice --n-networks 100 --json benchmarks/advice.json

zoo: $(VENV)/.installed-all  ## build the reference zoo and its table; resumes
	$(BIN)/hessdiag zoo build --out zoo --grids 1 --table hessdiag/zoo/data/reference_zoo.npz

study: $(VENV)/.installed-all  ## 111 experiments on 37 data sets, tables and a page; resumes
	$(BIN)/hessdiag study --out docs/study --compress

# The peers pin other packages than hessdiag does, so they get an environment of their own.
$(VENV)-bench/.installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e . -r benchmarks/requirements.txt
	touch $@

bench: $(VENV)-bench/.installed  ## time the spectra of all layers beside curvlinops and others
	$(VENV)-bench/bin/python benchmarks/layer_spectra.py --growth \
		--json benchmarks/layer_spectra.json
	$(VENV)-bench/bin/python benchmarks/accuracy.py --json benchmarks/accuracy.json
	$(VENV)-bench/bin/python benchmarks/self_check.py --json benchmarks/self_check.json

$(VENV)-real/.installed: pyproject.toml constraints.txt benchmarks/requirements-real.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e . -r benchmarks/requirements-real.txt
	touch $@

bench-real: $(VENV)-real/.installed  ## time the diagnosis of networks from public libraries
	$(VENV)-real/bin/python benchmarks/real_networks.py --growth \
		--json benchmarks/real_networks.json

docs: $(VENV)/.installed-docs  ## build the documentation
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

clean:  ## remove the virtual environment and what the targets made
	rm -rf $(VENV) $(VENV)-bench $(VENV)-real $(VENV)-oldest $(VENV)-newest demo-output docs/_build \
		.pytest_cache .ruff_cache .mypy_cache
