# Trestle's tasks. `make help` lists them.
# One profile everywhere (release), so that a machine compiles the dependencies once.

CARGO ?= cargo
TRESTLE = $(CARGO) run --release --quiet --bin trestle --
WORKERS ?= $(shell nproc)
DATA ?= real
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help build pipeline report test test-transformers check bench bench-data real clean

help: ## Lists these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Compiles everything (first time: about half an hour on two cores)
	$(CARGO) build --release

pipeline: build ## Runs the mini study from raw data to report: the whole of Trestle, with no network
	$(TRESTLE) run mini --workers $(WORKERS)

report: build ## Prints the mini study's table and writes its HTML report again
	$(TRESTLE) report mini
	$(TRESTLE) report mini --format html --output work/results/report-mini.html

test: ## Runs every test
	$(CARGO) test --release

test-transformers: ## Exchanges models with transformers (PYTHON=… has torch, transformers and safetensors)
	TRESTLE_PYTHON=$(PYTHON) $(CARGO) test --release --test transformers -- --ignored

check: ## Formatting, lints and documentation, with warnings denied
	$(CARGO) fmt --check
	$(CARGO) clippy --release --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --release --no-deps

bench: build ## Measures stage by stage: time, peak memory, growth with ten times the data
	benches/stages.sh

PEER = target/peer
ROUNDS ?= 3
SCALE ?= 6

$(PEER)/installed: benches/peers/requirements.txt
	python3 -m venv $(PEER)
	$(PEER)/bin/pip install --quiet --requirement $<
	touch $@

bench-data: build $(PEER)/installed ## Measures raw files to model inputs beside Hugging Face's libraries (DATA=DIR; SCALE=7: up to 10^7 examples)
	$(PEER)/bin/python benches/data.py --data $(DATA) --trestle "$${CARGO_TARGET_DIR:-target}/release/trestle" \
		--rounds $(ROUNDS) --scale $(SCALE)

real: build ## Runs a study over real files below DATA (make real DATA=DIR)
	$(TRESTLE) run real --tasks tests/real --data $(DATA) --tokenizer $(DATA)/xlmr/tokenizer.json --workers $(WORKERS)

clean: ## Removes build outputs and the store
	$(CARGO) clean
	rm -rf work
