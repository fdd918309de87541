# Trestle's tasks. `make help` lists them.
# One profile everywhere (release), so that a machine compiles the dependencies once.

CARGO ?= cargo
TRESTLE = $(CARGO) run --release --quiet --bin trestle --
WORKERS ?= $(shell nproc)
DATA ?= real
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help build pipeline report test golden docs golden-pipeline test-transformers test-chromium test-analysis test-mounts smoke-wgpu check bench bench-data bench-train bench-train-bundle bench-score fuzz-score compare-tagging real real-size clean

help: ## Lists these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Compiles everything (first time: about half an hour on two cores)
	$(CARGO) build --release

pipeline: build ## Runs the mini study from raw data to report: the whole of Trestle, with no network
	$(TRESTLE) run mini --workers $(WORKERS)

report: build ## Prints the mini study's table and writes its HTML report again
	$(TRESTLE) report mini
	$(TRESTLE) report mini --format html --output work/results/report-mini.html

test: ## Runs every test
	$(CARGO) test --release

golden: ## Writes tests/golden again, for a change that is meant to move numbers (see its README)
	TRESTLE_GOLDEN=write $(CARGO) test --release --test golden golden_study

docs: ## Writes docs/tables.md again, for a change of tables or their columns
	TRESTLE_DOCS=write $(CARGO) test --release --test tables

golden-pipeline: ## Compares the mini study's table with the README's, character by character (about 7 minutes on two cores)
	$(CARGO) test --release --test golden -- --ignored golden_pipeline

test-transformers: ## Exchanges models with transformers (PYTHON=… has torch, transformers and safetensors)
	TRESTLE_PYTHON=$(PYTHON) $(CARGO) test --release --test transformers -- --ignored

test-chromium: ## Opens a report in headless Chromium (Debian packages chromium and chromium-driver)
	TRESTLE_CHROMEDRIVER=$${TRESTLE_CHROMEDRIVER:-chromedriver} $(CARGO) test --release --test report_page -- --ignored

test-analysis: ## Asks DuckDB what docs/analysis.md asks, and opens exports with their own libraries (PYTHON=… has benches/peers/requirements-analysis.txt)
	TRESTLE_ANALYSIS_PYTHON=$(PYTHON) $(CARGO) test --release --test analysis --test export -- --ignored analysis_python

MOUNT_ROUNDS ?= 20

test-mounts: ## Runs a study in two processes on two mounts of one directory, MOUNT_ROUNDS times (Debian packages sshfs, openssh-sftp-server and socat)
	TRESTLE_SFTP_SERVER=$${TRESTLE_SFTP_SERVER:-/usr/lib/openssh/sftp-server} TRESTLE_ROUNDS=$(MOUNT_ROUNDS) \
		$(CARGO) test --release --test two_mounts -- --ignored

# Only the library's test harness is built, so that the binary stays the one with SPIR-V. Two builds: rasterisers take
# WGSL only, and burn's fusion and autotune are features of the build.
SMOKE = TRESTLE_SMOKE=software CUBECL_AUTOTUNE_LEVEL=minimal $(CARGO) test --release --lib --no-default-features
SMOKED = wgpu -- --ignored --test-threads=1 $(if $(TRESTLE_SHARED),,--skip oracle)

smoke-wgpu: ## Compares trainings on Mesa's software Vulkan device with the CPU's, with and without fusion and autotune
	$(SMOKE) $(SMOKED)
	$(SMOKE) --features fusion,autotune $(SMOKED)

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

PEER_TRAIN = target/peer-train
BENCH_TRAIN ?=
BUNDLE ?= target/bench-train

$(PEER_TRAIN)/installed: benches/peers/requirements-train.txt
	python3 -m venv $(PEER_TRAIN)
	$(PEER_TRAIN)/bin/pip install --quiet --requirement $<
	touch $@

bench-train: $(PEER_TRAIN)/installed ## Measures training speed beside PyTorch (BENCH_TRAIN="--rows minilm/128 --device vulkan")
	PYTHON=$(PEER_TRAIN)/bin/python CARGO="$(CARGO)" benches/train.sh --output target/bench-train.json $(BENCH_TRAIN)

bench-train-bundle: ## Packs that bench into BUNDLE, for a machine with a GPU, Python and no Rust
	CARGO="$(CARGO)" benches/train.sh bundle $(BUNDLE)

PEER_SCORE = target/peer-score
CASES ?= 100000

# The packages that carry the SQuAD and MLQA scripts would bring TensorFlow and PyTorch; the scripts need neither.
$(PEER_SCORE)/installed: benches/peers/requirements-score.txt benches/peers/requirements-score-scripts.txt
	python3 -m venv $(PEER_SCORE)
	$(PEER_SCORE)/bin/pip install --quiet --requirement benches/peers/requirements-score.txt
	$(PEER_SCORE)/bin/pip install --quiet --no-deps --requirement benches/peers/requirements-score-scripts.txt
	touch $@

bench-score: build $(PEER_SCORE)/installed ## Measures scoring a million predictions of each kind beside the Python scripts, and mining beside faiss; compares the numbers
	$(PEER_SCORE)/bin/python benches/score.py --trestle "$${CARGO_TARGET_DIR:-target}/release/trestle" \
		--output target/bench-score.json
	$(PEER_SCORE)/bin/python benches/mining.py --trestle "$${CARGO_TARGET_DIR:-target}/release/trestle" \
		--output target/bench-mining.json

fuzz-score: $(PEER_SCORE)/installed ## Compares metrics with the Python originals in CASES random cases
	TRESTLE_SCORE_PYTHON=$(PEER_SCORE)/bin/python TRESTLE_SCORE_CASES=$(CASES) $(CARGO) test --release --test scoring -- --ignored

ENCODER ?= all-MiniLM-L6-v2
SEEDS ?= 1,2,3,4,5

compare-tagging: build $(PEER_TRAIN)/installed ## Fine-tunes ENCODER for tagging here and in transformers and compares scores (DATA=DIR ENCODER=DIR)
	$(PEER_TRAIN)/bin/python benches/tagging.py --data $(DATA) --encoder $(ENCODER) --seeds $(SEEDS) \
		--trestle "$${CARGO_TARGET_DIR:-target}/release/trestle" --output target/compare-tagging.json

real: build ## Runs a study over real files below DATA (make real DATA=DIR)
	$(TRESTLE) run real --tasks tests/real --data $(DATA) --tokenizer $(DATA)/xlmr/tokenizer.json --workers $(WORKERS)

real-size: build ## Trains an encoder of XLM-R Base's size for some steps, trimmed and whole (DATA=DIR with xlmr/tokenizer.json; minutes)
	TRESTLE_SHARED=$(dir $(abspath $(DATA))) $(CARGO) test --release --test real_size -- --ignored --nocapture

clean: ## Removes build outputs and the store
	$(CARGO) clean
	rm -rf work
