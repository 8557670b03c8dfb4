# `make test` is for contributors; `make test-all` adds what needs more tools; `make help` lists the rest.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help test fmt lint docs unit interop test-all tools deny buf fuzz interop-all manifests prove image

TOOLS := target/tools
INTEROP := tests/interop
PYTEST := $(TOOLS)/venv/bin/pytest
SETUP := $(INTEROP)/setup.sh

# Installed by tests/interop/setup.sh.
PYTHON := $(TOOLS)/python.stamp
CHECKS := $(TOOLS)/checks.stamp
BROWSER := $(TOOLS)/browser.stamp
BUF := $(TOOLS)/buf.stamp
CLIENTS := $(TOOLS)/clients.stamp
PROMETHEUS := $(TOOLS)/prometheus.stamp
COLLECTOR := $(TOOLS)/collector.stamp
COMPOSE := $(TOOLS)/compose.stamp
KUBE := $(TOOLS)/kube.stamp
IMAGE := $(TOOLS)/image.stamp
CROSS := $(TOOLS)/cross.stamp
ALL := $(CHECKS) $(BROWSER) $(BUF) $(CLIENTS) $(PROMETHEUS) $(COLLECTOR) $(COMPOSE) $(KUBE)

# The tests' build has a feature that a plain `cargo build` lacks (tokio's test clock), and is another build of most
# crates. All targets use the tests' build; `cargo doc` does so with `--examples`.
BINARY := cargo test --locked --no-run --quiet

NATIVE := $(subst x86_64,amd64,$(subst aarch64,arm64,$(shell uname -m)))
ARCH := $(NATIVE)

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile

test: fmt lint docs unit interop ## Check what Rust and Python 3.11 can check

fmt: ## Check the format of the code
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml

lint: ## Run clippy, on the tests too, and on the build without features
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked -- -D warnings

# Private items too: the readers of these pages work on the code.
docs: ## Check the links of the code's documentation
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
		cargo doc --locked --no-deps --document-private-items --lib --examples

unit: ## Run the tests in Rust
	cargo test --locked

interop: $(PYTHON) ## Run the binary with grpcurl and Python clients
	$(BINARY)
	$(PYTEST) $(INTEROP)

test-all: deny buf fuzz interop-all ## Check the rest: other languages, a browser, Prometheus, Collector, Jaeger, manifests, linters

tools: $(PYTHON) $(ALL) ## Install what test and test-all need, under target/tools

deny: $(CHECKS) ## Check the licences, sources, versions and advisories of the dependencies
	$(INTEROP)/all/deny.sh

buf: $(BUF) ## Check the style of the proto, and its compatibility with the last tag
	$(INTEROP)/all/buf.sh

# SECONDS_EACH=3600 make fuzz runs each target for an hour.
fuzz: ## Run each fuzz target for 20 seconds. Needs a C++ compiler; part of test-all
	fuzz/run.sh

interop-all: $(PYTHON) $(ALL) ## Run the tests of tests/interop/all
	$(BINARY)
	$(PYTEST) $(INTEROP)/all

manifests: $(CHECKS) $(KUBE) ## Run the linters on deploy/. Prints nothing on success; part of interop-all
	@PYTHONPATH=$(INTEROP) $(TOOLS)/venv/bin/python -B $(INTEROP)/all/lint_manifests.py

# By hand, on an idle machine: date the results in benches/README.md.
prove: $(PYTHON) $(BUF) $(CLIENTS) ## Run what takes long: rolling updates, hundreds of restarts, benches
	$(BINARY)
	$(PYTEST) -s $(INTEROP)/prove
	cargo bench --locked --bench load -- promises
	cargo bench --locked --bench load -- table
	cargo bench --locked --bench telemetry
	cargo bench --locked --bench lanes

# By hand: it compiles everything once more, optimised and static. Zig compiles for another ARCH than this machine's, and
# QEMU runs the result.
image: $(CHECKS) $(BUF) $(CLIENTS) $(KUBE) $(IMAGE) $(if $(filter $(ARCH),$(NATIVE)),,$(CROSS)) ## Build the image without a daemon, and try it (ARCH=arm64 for another)
	PATH="$$PWD/$(TOOLS)/cargo/bin:$$PWD/$(TOOLS)/cross/bin:$$PATH" deploy/image.sh build $(ARCH)
	$(BINARY)
	IMAGE_ARCH=$(ARCH) $(PYTEST) -s $(INTEROP)/all/image.py $(INTEROP)/all/test_container.py
	$(if $(filter $(ARCH),$(NATIVE)),IMAGE_ARCH=$(ARCH) PYTHONPATH=$(INTEROP) $(TOOLS)/venv/bin/python $(INTEROP)/all/cold_start.py)

$(PYTHON): $(SETUP) $(INTEROP)/requirements.txt
	$(SETUP) python

$(CHECKS): $(SETUP) $(PYTHON) $(INTEROP)/requirements-all.txt
	$(SETUP) checks

$(CLIENTS): $(SETUP) $(BUF) $(wildcard proto/voyage/gateway/v1/*.proto examples/go/* examples/node/package.json $(INTEROP)/all/load/* $(INTEROP)/all/compose_loader/*)
	$(SETUP) clients

$(COLLECTOR): $(SETUP) $(wildcard $(INTEROP)/all/collector/*)
	$(SETUP) collector

$(KUBE): $(SETUP) $(wildcard $(INTEROP)/all/crds/*)
	$(SETUP) kube

$(BROWSER) $(BUF) $(PROMETHEUS) $(COMPOSE) $(IMAGE) $(CROSS): $(SETUP)
	$(SETUP) $(basename $(notdir $@))
