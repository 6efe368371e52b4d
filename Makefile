# One command sets up everything: `make demo` or `make test` on a machine with git, make, Python >= 3.11 and internet.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/complete

# Most tests wait for something, so one process more than there are cores.
PROCESSES ?= $(shell expr $$(nproc) + 1)

# Rows of the fault campaign, or mutants, side by side.
JOBS ?= 1

# For each target of the fuzzing.
SECONDS ?= 30

.DEFAULT_GOAL := help
.PHONY: help demo test torture mutants fuzz bench lint generate clean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16

demo: $(STAMP) ## a collector and an agent through an outage, half a minute
	@$(BIN)/shipper demo

test: $(STAMP) ## all tests; SHIPPER_SEED=0: with examples and faults at random
	@$(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=loadfile

torture: $(STAMP) ## every fault of tests/faults in its long form, hours; ROWS="--only WORD --seed N" for a part
	@PYTHONPATH=tests $(BIN)/python -m faults --long --jobs $(JOBS) --report docs/reliability $(ROWS)

mutants: $(STAMP) ## breaks each promise once: does a test notice?, an hour; ONLY=WORD for some
	@PYTHONPATH=tests $(BIN)/python -m mutants --jobs $(JOBS) --only "$(ONLY)"

fuzz: $(STAMP) ## hostile inputs for every parser, SECONDS=30 each, some 25 minutes; ONLY=WORD for some
	@PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(SECONDS) --only "$(ONLY)"

bench: $(STAMP) ## the workloads of benchmarks/README.md, about 40 minutes
	@$(BIN)/python -m benchmarks

lint: $(STAMP) ## style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

generate: $(STAMP) ## write the protobuf code and docs/reference anew
	@$(BIN)/python proto/generate.py
	@$(BIN)/python docs/generate.py

clean: ## remove the environment
	rm -rf $(VENV)

# The stamp is written last: without it the environment is broken or unfinished, and is made anew. A Python that is
# gone (an upgrade of the system) leaves a dangling link; then the stamp is no proof either.
ifneq ($(wildcard $(STAMP)),)
ifeq ($(shell $(BIN)/python -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null),)
.PHONY: $(STAMP)
endif
endif

$(STAMP): pyproject.toml
	@rm -f $(STAMP)
	@.ci/environment $(VENV)
	@touch $(STAMP)
