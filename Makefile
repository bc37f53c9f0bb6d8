# Every target makes what it needs, the virtual environment included.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help quickstart test cluster accuracy lint bench loading chaos gpu study browser latex vendor \
  readme docs clean

help:
	@echo "make quickstart  set up, run the quick grid, print the leaderboard"
	@echo "make test        set up, run the tests"
	@echo "make cluster     set up, runs whose processes die, jobs, tokens, the batch script; minutes"
	@echo "make accuracy    set up, run the tests of the solvers' accuracy; minutes"
	@echo "make lint        set up, ruff and mypy"
	@echo "make bench       set up, timings against straightforward versions"
	@echo "make loading     set up, memory and loading at official sizes; writes large files to TMPDIR"
	@echo "make chaos       set up, the quick grid with twenty deaths among its processes; half an hour"
	@echo "make gpu         set up, speed of fitting on this machine's GPU"
	@echo "make browser     set up, tests of the page of \`xmft report\` in Chromium; minutes"
	@echo "make latex       set up, compile the LaTeX tables"
	@echo "make vendor      fetch the JavaScript of others in this repository again, through npm"
	@echo "make study       set up, run the studies of the methods, rebuild their tables in docs; hours"
	@echo "make readme      set up, make the README's table and picture of the quick start again"
	@echo "make docs        set up, build the documentation in build/docs; checks its links"
	@echo "make clean       remove the virtual environment (results and data stay)"

# The stamp is written last, so an interrupted installation is done again.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

quickstart: .venv/installed
	$(BIN)/xmft run quick
	$(BIN)/xmft leaderboard

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile \
	  --ignore=tests/accuracy --ignore=tests/cluster --ignore=tests/browser --ignore=tests/latex

cluster: .venv/installed
	$(BIN)/python -m pytest tests/cluster

# Chromium is that of the system: apt-get install chromium.
browser: .venv/installed
	$(BIN)/python -m pytest tests/browser

# LaTeX is that of the system: apt-get install texlive-latex-recommended.
latex: .venv/installed
	$(BIN)/python -m pytest tests/latex

vendor:
	$(PYTHON) .ci/vendor.py

accuracy: .venv/installed
	$(BIN)/python -m pytest tests/accuracy
	$(BIN)/python .ci/accuracy.py --passed

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python -m performance.alignment
	$(BIN)/python -m performance.stage_one
	$(BIN)/python -m performance.training_loop
	$(BIN)/python -m performance.cells
	$(BIN)/python -m performance.fan_out
	$(BIN)/python -m performance.workers
	$(BIN)/python -m performance.ledger
	$(BIN)/python -m performance.solvers
	$(BIN)/python -m performance.page

loading: .venv/installed
	$(BIN)/python -m performance.loading nasbench360/deepsea
	$(BIN)/python -m performance.loading nasbench360/ecg
	$(BIN)/python -m performance.loading nasbench360/psicov
	$(BIN)/python -m performance.loading nasbench360/fsd50k

# Exit code 1: some cells failed, those without data among them; the document is made of the others.
STUDIES = study-methods study-fields study-options study-canonical study-compute study-samples
OURS = --ours recraft --head-trained mona
study: .venv/installed
	for study in $(STUDIES); do \
	  $(BIN)/xmft run $$study --results results/$$study || test $$? -eq 1 || exit 1; \
	  $(BIN)/xmft submit-results --results results/$$study --to docs/$$study.parquet || exit 1; \
	  $(BIN)/python -m runner.cli.study --results docs/$$study.parquet \
	    --document docs/$$study.md $(OURS) || exit 1; \
	done

# Of the rows that are kept; to keep those of another run: python -m runner.cli.readme --results DIR
readme: .venv/installed
	$(BIN)/python -m runner.cli.readme

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

chaos: .venv/installed
	$(BIN)/python -m performance.chaos quick --kills 20

gpu: .venv/installed
	$(BIN)/python -m performance.gpu

clean:
	rm -rf .venv
