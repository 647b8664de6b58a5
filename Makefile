# One line per task; everything that builds calls `setup` first, which does nothing the second time.
SWIFT ?= $(shell [ -x .deps/swift/usr/bin/swift ] && echo .deps/swift/usr/bin/swift || echo swift)
CONFIGURATION ?= release
PREFIX ?= /usr/local
CLI = .build/$(CONFIGURATION)/llamafactory-cli

FUZZ_STRINGS ?= 240000
FUZZ_SEED ?= 1
FUZZ_SECONDS ?= 600

.PHONY: setup build demo demo-all test test-light test-models check-models check-configs test-distributed test-setup bench bench-experts bench-generation fuzz-tokenizers fuzz-tokenizer-files docs format lint install clean

setup:
	@bash Tools/setup/setup.sh $(if $(CUDA),$(if $(filter 0 no,$(CUDA)),cpu,cuda))

build: setup
	$(SWIFT) build -c $(CONFIGURATION) --product llamafactory-cli

demo: build
	@bash demo/run

demo-all: build
	@bash demo/all/run

test: setup
	$(SWIFT) build -c $(CONFIGURATION) --build-tests
	OMP_NUM_THREADS=1 $(SWIFT) test -c $(CONFIGURATION) --skip-build --disable-xctest

# Every model folder against its recorded numbers, a line each; MODELS=FOLDER takes another folder of Fixtures/golden/models' layout.
test-models: setup
	$(SWIFT) build -c $(CONFIGURATION) --build-tests
	LF_MODELS=$(MODELS) OMP_NUM_THREADS=1 $(SWIFT) test -c $(CONFIGURATION) --skip-build --disable-xctest \
	    --filter 'ModelFolderTests|ModelPropertyTests'

# Models and adapters of every family, handed to transformers and PEFT and back; UPSTREAM_VENV names an environment that has both.
check-models: build
	@bash Benchmarks/compare/run.sh --install
	$(or $(UPSTREAM_VENV),.build/compare/venv)/bin/python Tools/models/check_models.py --cli $(CLI)

# What keys of a config.json mean, family by family, here and in transformers.
check-configs: build
	@bash Benchmarks/compare/run.sh --install
	$(or $(UPSTREAM_VENV),.build/compare/venv)/bin/python Tools/models/check_configs.py --cli $(CLI)

# All recorded runs, their batches dealt to two processes: data parallel, and sharing as each stage of ZeRO says.
test-distributed: setup
	$(SWIFT) build -c $(CONFIGURATION) --build-tests
	LF_ALL_DISTRIBUTED=1 OMP_NUM_THREADS=1 $(SWIFT) test -c $(CONFIGURATION) --skip-build --disable-xctest \
	    --filter 'DistributedRunTests|SeveralProcessesTests'

# The targets that need no libtorch, without optimization, in a build folder of their own: quick to build again.
test-light: setup
	LF_WITHOUT_TORCH=1 $(SWIFT) build --build-tests --scratch-path .build-light
	LF_WITHOUT_TORCH=1 $(SWIFT) test --skip-build --scratch-path .build-light --disable-xctest

# What the set-up decides on machines that lack something, with stubs in place of the machine; needs no build.
test-setup:
	@bash Tools/setup/test.sh

bench: build
	@bash Benchmarks/compare/run.sh

bench-experts: build
	@bash Benchmarks/experts/run.sh

bench-generation: build
	@bash Benchmarks/compare/run.sh --install
	@bash Benchmarks/generation/run.sh

fuzz-tokenizers: build
	@bash Tools/tokenizer/fuzz.sh --command "$(CLI) tokenize" --strings $(FUZZ_STRINGS) --seed $(FUZZ_SEED)

fuzz-tokenizer-files: setup
	$(SWIFT) build -c $(CONFIGURATION) --build-tests
	LF_FUZZ_SECONDS=$(FUZZ_SECONDS) LF_FUZZ_SEED=$(FUZZ_SEED) $(SWIFT) test -c $(CONFIGURATION) --skip-build --disable-xctest \
	    --filter TokenizerFileFuzzTests

docs: build
	$(CLI) arguments > docs/arguments.md

format: setup
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

lint: setup
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests

install: build
	install -D $(CLI) $(DESTDIR)$(PREFIX)/bin/llamafactory-cli
	ln -sf llamafactory-cli $(DESTDIR)$(PREFIX)/bin/lmf

clean:
	rm -rf .build
