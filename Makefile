# Everything a newcomer or a developer types. `make help` says what there is.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# uv keeps its downloads here so that a second checkout is quick; any value of the person's wins.
export UV_PYTHON_DOWNLOADS ?= never

.DEFAULT_GOAL := help
.PHONY: help up down status restart-gateway images test test-unit test-integration test-acceptance lint types format \
        generate lock bench-push bench-gateway clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

up: $(VENV)/platform ## Install into the checkout, start the platform, deploy the sample app
	@$(BIN)/python -m deploy.embedded up

down: ## Stop the platform and its apps; nothing is lost
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m deploy.embedded down; else echo "Moorage is not installed here."; fi

status: $(VENV)/platform ## Say what is running
	@$(BIN)/python -m deploy.embedded status

restart-gateway: $(VENV)/platform ## Give the gateway fresh processes; no request notices
	@$(BIN)/python -m deploy.embedded restart-gateway

images: $(VENV)/platform ## Make the container images, and a bill of materials of each
	@$(BIN)/python -m deploy.images
	@$(BIN)/python -m deploy.images.sbom

test: lint types test-unit test-integration test-acceptance ## Run all tests, with real servers

test-unit: $(VENV)/dev ## Unit tests, in seconds
	$(BIN)/python -m pytest tests/unit -q

test-integration: $(VENV)/dev ## Each part with real servers
	$(BIN)/python -m tests.harness.app_image
	$(BIN)/python -m pytest tests/integration -q

test-acceptance: $(VENV)/dev ## From push to URL, on a platform of the test's own
	$(BIN)/python -m tests.harness.app_image
	$(BIN)/python -m pytest tests/acceptance -q

lint: $(VENV)/dev ## Style and the walls between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/dev ## Static types of the ground
	$(BIN)/pyright

format: $(VENV)/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: $(VENV)/dev ## Write what is generated from the code: AsyncAPI, OpenAPI, reference pages
	$(BIN)/python -m deploy.generate
	$(BIN)/python -m moorage.reference > docs/reference/cli.md
	$(BIN)/python -m tests.integration.gateway.conformance.page

lock: $(VENV)/uv ## Resolve the dependencies again and write the lock files
	$(BIN)/uv pip compile -q --all-extras --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 --universal pyproject.toml -o deploy/requirements/platform.lock
	$(BIN)/uv pip compile -q --all-extras --group dev --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 --universal pyproject.toml -o deploy/requirements/dev.lock
	echo uv==$(UV_VERSION) | $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 --universal - -o deploy/requirements/uv.lock
	$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 --universal deploy/images/sbom.in -o deploy/images/sbom.lock

bench-push: $(VENV)/dev ## Measure pushes: times, lost requests, event hop, memory
	$(BIN)/python -m tests.bench.push

bench-gateway: $(VENV)/dev ## Measure the gateway beside nginx, HAProxy, Caddy and others
	$(BIN)/python -m tests.bench.gateway

clean: down ## Stop, and remove what was installed (the data folder stays)
	rm -rf $(VENV)

# --- What is installed, each step once -----------------------------------------------------------

$(VENV)/uv: deploy/requirements/uv.lock
	@command -v git >/dev/null || { echo "Moorage needs git; install it and try again."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Moorage needs Python 3.11 or newer; name it with 'make PYTHON=python3.11 up'."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r deploy/requirements/uv.lock
	@touch $@

$(VENV)/platform: $(VENV)/uv deploy/requirements/platform.lock cli/pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r deploy/requirements/platform.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable cli
	@touch $@

$(VENV)/dev: $(VENV)/platform deploy/requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r deploy/requirements/dev.lock
	@touch $@
