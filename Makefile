# `make help` lists the targets. Everything is installed into .venv; nothing else on the machine is changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
PROTOS := $(wildcard proto/xnas/v1alpha1/*.proto)

.DEFAULT_GOAL := help
.PHONY: help demo test e2e test-fast lint bench verify generate lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(UV):
	$(PYTHON) -c 'import sys; sys.exit("XNAS needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv==$(UV_VERSION)

# The package itself is linked in with a .pth file, so that no build back end has to be fetched.
$(VENV)/local.stamp: requirements/local.lock $(UV)
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/local.lock
	@$(MAKE) --no-print-directory link
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(UV)
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@$(MAKE) --no-print-directory link
	@touch $@

.PHONY: link
link:
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .

demo: $(VENV)/local.stamp ## search on handwritten digits, from nothing to a report in runs/quickstart
	$(BIN)/xnas run examples/quickstart.yaml --output runs/quickstart

test: $(VENV)/dev.stamp ## all tests that need no cluster, with coverage of xnas_core
	$(BIN)/pytest -q -n auto --dist loadfile --cov --cov-report=term

test-fast: $(VENV)/dev.stamp ## the tests without those that take minutes
	$(BIN)/pytest -q -n auto --dist loadfile -m "not slow"

e2e: $(VENV)/dev.stamp ## tests on the cluster of KUBECONFIG, with the images of XNAS_E2E_*_IMAGE and the store of XNAS_S3_*
	$(BIN)/pytest -q -m e2e --durations=20 tests/e2e tests/operator

lint: $(VENV)/dev.stamp ## ruff, mypy --strict, import-linter, buf lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint

bench: $(VENV)/dev.stamp ## benchmarks: tables of ratios, also in benchmarks/results/
	$(BIN)/python -m benchmarks

generate: $(VENV)/dev.stamp ## regenerate what is generated: protobuf code, CRD, reference pages
	$(BIN)/python tools/generate.py

verify: generate ## regenerate, then the tree must be unchanged
	@git diff --exit-code -- proto/gen charts docs || (echo "generated files are stale: run 'make generate' and commit" && exit 1)
	@test -z "$$(git status --porcelain -- proto/gen charts docs)" || (git status --short -- proto/gen charts docs && exit 1)

lock: $(UV) ## resolve requirements/*.lock anew
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml requirements/build.in -o requirements/dev.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra local -c requirements/dev.lock pyproject.toml requirements/build.in -o requirements/local.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/dev.lock requirements/build.in -o requirements/build.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra operator -c requirements/dev.lock --excludes requirements/operator.excludes pyproject.toml -o requirements/operator.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra evaluator -c requirements/dev.lock pyproject.toml -o requirements/evaluator.lock

clean: ## remove .venv and runs/
	rm -rf $(VENV) runs
