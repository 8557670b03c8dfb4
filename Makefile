# `make test` is the whole check, the one that CI runs; `make help` lists the rest.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help test tools fmt lint docs deny buf unit interop manifests roll image

TOOLS := target/tools
PYTHON := $(TOOLS)/python.stamp
BUF := $(TOOLS)/buf.stamp
CLIENTS := $(TOOLS)/clients.stamp
IMAGE := $(TOOLS)/image.stamp
CROSS := $(TOOLS)/cross.stamp
PROMETHEUS := $(TOOLS)/prometheus.stamp
COLLECTOR := $(TOOLS)/collector.stamp
COMPOSE := $(TOOLS)/compose.stamp
KUBE := $(TOOLS)/kube.stamp

NATIVE := $(subst x86_64,amd64,$(subst aarch64,arm64,$(shell uname -m)))
ARCH := $(NATIVE)

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' Makefile

test: tools fmt lint docs deny buf unit interop ## Check everything; gets the tools it needs by itself

tools: $(PYTHON) $(BUF) $(CLIENTS) $(PROMETHEUS) $(COLLECTOR) $(COMPOSE) $(KUBE) ## Get the tools the checks need, under target/tools

fmt: ## Is the code formatted?
	cargo fmt --check

lint: ## Does clippy find nothing, in tests neither?
	cargo clippy --locked --all-targets -- -D warnings

# Private items too: whoever reads these pages works on the code.
docs: ## Is every link in the code's documentation sound?
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
		cargo doc --locked --no-deps --document-private-items

deny: $(PYTHON) ## Are the dependencies' licences, sources, versions and advisories in order?
	tests/interop/deny.sh

buf: $(BUF) ## Is the proto in style, and unbroken since the last tag?
	tests/interop/buf.sh

unit: ## Run the tests that need only Rust
	cargo test --locked

interop: $(PYTHON) $(BUF) $(CLIENTS) $(PROMETHEUS) $(COLLECTOR) $(COMPOSE) $(KUBE) ## Run the tests with real clients, Prometheus, a Collector, Jaeger, and of the manifests
	cargo build --locked
	$(TOOLS)/venv/bin/pytest -q -p no:cacheprovider tests/interop

manifests: $(PYTHON) $(KUBE) ## Do the linters find nothing in deploy/? Prints nothing if so; part of interop
	@$(TOOLS)/venv/bin/python -B tests/interop/lint_manifests.py

roll: $(PYTHON) $(BUF) $(CLIENTS) ## Replace gateways one by one under load, and say what callers noticed
	cargo build --locked
	$(TOOLS)/venv/bin/pytest -q -s -p no:cacheprovider tests/interop/test_roll.py

# Not part of `test`: it compiles everything once more, optimised and static. Another ARCH than this machine's is compiled
# by Zig and run by QEMU.
image: $(PYTHON) $(BUF) $(CLIENTS) $(KUBE) $(IMAGE) $(if $(filter $(ARCH),$(NATIVE)),,$(CROSS)) ## Build the image without a daemon, and try it (ARCH=arm64 for that)
	PATH="$$PWD/$(TOOLS)/cargo/bin:$$PWD/$(TOOLS)/cross/bin:$$PATH" deploy/image.sh build $(ARCH)
	cargo build --locked
	IMAGE_ARCH=$(ARCH) $(TOOLS)/venv/bin/pytest -q -s -p no:cacheprovider \
		tests/interop/image.py tests/interop/test_container.py
	$(if $(filter $(ARCH),$(NATIVE)),IMAGE_ARCH=$(ARCH) $(TOOLS)/venv/bin/python tests/interop/cold_start.py)

$(PYTHON): tests/interop/setup.sh tests/interop/requirements.txt
	tests/interop/setup.sh python

$(BUF): tests/interop/setup.sh
	tests/interop/setup.sh buf

$(CLIENTS): tests/interop/setup.sh $(BUF) $(wildcard proto/voyage/gateway/v1/*.proto examples/go/* examples/node/package.json tests/interop/clients/*/*)
	tests/interop/setup.sh clients

$(IMAGE): tests/interop/setup.sh
	tests/interop/setup.sh image

$(CROSS): tests/interop/setup.sh
	tests/interop/setup.sh cross

$(PROMETHEUS): tests/interop/setup.sh
	tests/interop/setup.sh prometheus

$(COLLECTOR): tests/interop/setup.sh $(wildcard tests/interop/collector/*)
	tests/interop/setup.sh collector

$(COMPOSE): tests/interop/setup.sh
	tests/interop/setup.sh compose

$(KUBE): tests/interop/setup.sh $(PYTHON) $(wildcard tests/interop/crds/*)
	tests/interop/setup.sh kube
