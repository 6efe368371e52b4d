# One command sets up everything: `make demo` or `make test` on a machine with git, make, Python >= 3.11 and internet.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/complete

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint generate clean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16

demo: $(STAMP) ## a collector and an agent through an outage, half a minute
	@$(BIN)/shipper demo

test: $(STAMP) ## all tests
	@$(BIN)/python -m pytest

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
