# One line per task; `make setup` is called by every target that builds.
SWIFT ?= swift
CONFIGURATION ?= release
BUILD = $(SWIFT) build -c $(CONFIGURATION) --product llamafactory-cli
PREFIX ?= /usr/local
CLI = .build/$(CONFIGURATION)/llamafactory-cli

.PHONY: setup build test format lint install clean

setup:
	@bash Tools/setup/setup.sh $(if $(CUDA),cuda,cpu)

build: setup
	$(BUILD)

test: setup
	$(SWIFT) test -c $(CONFIGURATION) --disable-xctest

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests

install: build
	install -D $(CLI) $(DESTDIR)$(PREFIX)/bin/llamafactory-cli && ln -sf llamafactory-cli $(DESTDIR)$(PREFIX)/bin/lmf

clean:
	rm -rf .build
