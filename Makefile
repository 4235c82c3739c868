# `make demo` and `make test` set up .venv first. For another Python (3.10 to 3.13): make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo
TEST_PROCESSES ?= 2

.PHONY: demo test lint format clean distclean
.DELETE_ON_ERROR:

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	    { echo "$(PYTHON) is not Python 3.10 to 3.13; choose one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/pip setup.py pyproject.toml
	$(BIN)/pip install --quiet --editable '.[openvino,report]'
	@touch $@

$(VENV)/.installed-test: $(BIN)/pip setup.py pyproject.toml
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	rm -rf $(DEMO)
	mkdir -p $(DEMO)/ct
	cp -R kits_tf/samples/trunk_ct $(DEMO)/ct/case_00000
	$(BIN)/kits-simulate --output_dir=$(DEMO)/ct --cases=1 --seed=1 --size=256 --slices=80 \
	    --phases=nephrographic --pixel_spacing_mm=1.5,1.7 --slice_spacing_mm=3.5,4.0
	$(BIN)/kits-predict --input=$(DEMO)/ct --output_dir=$(DEMO)/prediction
	$(BIN)/kits-evaluate --predictions=$(DEMO)/prediction --references=$(DEMO)/ct --output=$(DEMO)/scores.json
	$(BIN)/kits-report --predictions=$(DEMO)/prediction --images=$(DEMO)/ct --references=$(DEMO)/ct \
	    --output_dir=$(DEMO)/report
	@echo
	@echo "CTs and labels:  $(DEMO)/ct (case_00000: real, without a tumor; case_00001: simulated, with one)"
	@echo "Predictions:     $(DEMO)/prediction"
	@echo "Scores:          $(DEMO)/scores.json"
	@echo "Report:          $(DEMO)/report/index.html"

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not shared" --numprocesses=$(TEST_PROCESSES) --dist=loadfile \
	    --max-worker-restart=0 --durations=10

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find kits_tf tests experiments -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
