# Every target says what it is for: `make` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   ?= demo.tshark
KEYS   := '/ "text:label.category in {\"injection\",\"credential\",\"refusal\"} and resid_post.norm\#12[-1] > 90" enter j j m j m k k 3'

.DEFAULT_GOAL := help
.PHONY: help demo test lint types check bench soak picture docs clean

help:            ## list the targets
	@sed -n 's/^\([a-z]*\): .*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@# torch first and alone: a plain `torch` would fetch gigabytes of CUDA on a machine without a GPU;
	@# another build: make TORCH_INDEX="--index-url https://download.pytorch.org/whl/cu128"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_INDEX) "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)   ## install, prepare the model, capture the demo corpus, open the workbench on it
	@$(BIN)/tensorshark demo -w $(DEMO)

test: $(STAMP)   ## run the tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(STAMP)   ## style, format and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

check: lint types test  ## all that CI runs

bench: $(STAMP)  ## measure capture, filters, reading and the workbench beside their peers
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]" || true
	$(BIN)/python -m bench

soak: $(STAMP)   ## the long versions of the fault and hostile-input tests
	TENSORSHARK_SOAK=1 TENSORSHARK_FILTERS=60000 $(BIN)/python -m pytest -q -n 2 --dist loadfile --timeout 3600

picture: $(STAMP) ## draw the README's picture from the real workbench
	$(BIN)/python -m tensorshark.tui.picture $(DEMO) -o docs/workbench.svg --size 160x46 \
	  --keys $(KEYS)

docs: $(STAMP)   ## make anew what is generated: the filter's parse tables, docs/filter.md, docs/serve.md
	$(BIN)/python -m tensorshark.forensics.filter.syntax.tables
	$(BIN)/python -m tensorshark.forensics.filter.docs
	$(BIN)/python -m tensorshark.forensics.rpc.document

clean:           ## remove what can be made again
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
