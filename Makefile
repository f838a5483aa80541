# initkit's commands. Two are enough for most readers: `make lab` and `make test`.
# Needs GNU make and Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The edition that `make lab` opens: zh or en; by default the system's.
EDITION ?=
# Passed on to JupyterLab, or to pytest.
ARGS ?=

RUN_PIP := -m pip --disable-pip-version-check --quiet
PIP := $(BIN)/python $(RUN_PIP)
# uv takes a quarter of pip's time, and asks the index that pip is set to ($$pip is that of the recipe, below).
# Where it cannot, pip installs.
INDEX = $${PIP_INDEX_URL:-$$($$pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple)}
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --build-constraints constraints.txt
# Runs a session of noxfile.py in .venv, where all that it needs is installed.
NOX := PATH="$$(cd $(BIN) && pwd):$$PATH" $(BIN)/nox --no-venv --session
# Not torch in the lock: which of its builds is right depends on the machine. This is what the benchmarks use.
TORCH ?= torch==2.13.0
# What the lessons name; flax brings jax.
FRAMEWORKS ?= "flax==0.12.*" "keras==3.15.*"
LOCKED := course test browser site binder docs font sweep doctor
# JupyterLab, IPython, matplotlib and uv keep things there.
ifneq ($(shell test -w "$$HOME" && echo writable),writable)
export HOME := $(shell d=$${TMPDIR:-/tmp}/initkit-$$(id -u); mkdir -p -m 700 $$d && test -O $$d && echo $$d || mktemp -d)
endif
# Some containers set it; then each of some fifty kernels would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

# Compiled once, when it is installed; else workers and kernels would all do it, at the same time.
USED_course := ipykernel.kernelapp, ipykernel.zmqshell, initkit.doctor.audit, initkit.live
USED_test := distributed, h5py, hypothesis, nbval.plugin, nox, papermill, pytest, scipy.optimize, scipy.stats

.DEFAULT_GOAL := help
# Those of noxfile.py.
SESSIONS := test test-slow test-lib test-notebooks test-browser test-pages test-site test-door test-grade test-binder test-torch \
	test-machines jolt papers lint format docs slides lesson sync strip record
.PHONY: lab $(SESSIONS) site numbers test-versions bench diff lock frameworks font bundle help clean

lab: $(VENV)/lab ## open the course in JupyterLab (ARGS="--no-browser --port 9999", EDITION=zh)
	$(BIN)/initkit course notebooks $(EDITION:%=--lang %) $(ARGS)

# Contributors' commands: what a session needs, and is for. What it does stands in noxfile.py, for who has no make, too.
test: $(VENV)/installed ## test the library, the papers, and every notebook in both editions
test-slow: $(VENV)/installed ## run the tests that make test leaves out for its time
test-lib: $(VENV)/installed ## run the tests of the library and the papers
test-notebooks: $(VENV)/installed ## run the notebooks with nbval and papermill
test-browser: $(VENV)/browser ## read the lessons in a real JupyterLab and Chromium
test-pages: $(VENV)/browser $(VENV)/docs ## read the reading pages in Chromium; axe-core looks at them, too
test-site: $(VENV)/site $(VENV)/browser ## run the course in Chromium, no server behind it (SITE=_site: the one there)
test-door: $(VENV)/installed ## try every way in that README names, each from an empty environment
test-grade: $(VENV)/installed ## grade a class's notebooks (apt-get install bubblewrap: the hostile ones too)
test-binder: $(VENV)/binder ## let repo2docker read this repository as Binder does
test-torch: $(VENV)/torch ## run the doctor's tests and lessons, and the others' cells, with PyTorch at hand (make test has to do without)
test-machines: $(VENV)/installed ## run the tests as four other CPUs would (ARGS="Nehalem Prescott": these)
jolt: $(VENV)/installed ## does anything printed or claimed hang on the last bit? (ARGS="--seed 7 --only 05")
papers: $(VENV)/installed ## check the papers' claims, jolted too, and write tests/papers/RESULTS.md
lint: $(VENV)/installed ## check style, of notebooks too, and types
format: $(VENV)/installed ## mend style, of notebooks too
docs: $(VENV)/docs ## build the reading pages (lessons, design, API) into build/docs
slides: $(VENV)/docs ## make a lesson's slides in build/slides (LESSON=04, EDITION=zh)
lesson: $(VENV)/installed ## make a lesson's skeleton (NAME=09_orthogonal EN="Orthogonal start" ZH="正交初始化")
sync: $(VENV)/installed ## copy code from English to Chinese, mark stale cells, mend links (ACCEPT="lesson:cell …")
strip: $(VENV)/installed ## drop every stored output that is not compared
record: $(VENV)/installed ## run notebooks, store what is compared, if it stands two jolts (LESSON=05: only this)

$(SESSIONS):
	@$(NOX) $@ -- $(OPTIONS) $(ARGS)
test-site: export INITKIT_SITE := $(SITE)
slides: OPTIONS = --lesson "$(LESSON)" $(EDITION:%=--lang %)
# From the environment, where make puts them: a title may have quotes.
lesson: OPTIONS = "$$NAME" --en "$$EN" --zh "$$ZH"
sync: OPTIONS = $(ACCEPT)
record: OPTIONS = $(if $(LESSON),--lesson "$(LESSON)")

site: $(VENV)/site $(VENV)/docs ## build the course as web pages into _site (OFFLINE=a Pyodide distribution: all in _site.zip)
	@rm -rf _site _site.zip
	$(BIN)/python tools/pages.py _site
	$(BIN)/python tools/lite.py _site/lite $(OFFLINE:%=--offline "%")
	$(if $(OFFLINE),$(BIN)/python -m zipfile -c _site.zip _site && du -h _site.zip)

numbers: $(VENV)/torch ## measure anew what the lessons say of many seeds and machines (an hour; ARGS=six_epochs: only that)
	$(BIN)/python tools/prose.py measure $(ARGS)

test-versions: $(VENV)/installed ## try other Pythons and dependencies (ARGS="--python 3.11 --resolution lowest-direct")
	@pip="$(PIP)" && UV_DEFAULT_INDEX="$(INDEX)" $(BIN)/python tools/versions.py $(ARGS)

bench: $(VENV)/browser $(VENV)/torch $(VENV)/bench ## measure speed, beside what one would use otherwise
	$(BIN)/python tests/benchmarks/bench_initializers.py $(ARGS)
	$(BIN)/python tests/benchmarks/bench_engine.py $(ARGS)
	PYTHONPATH=tools:tests/browser $(BIN)/python tests/benchmarks/bench_live.py $(ARGS)
	$(BIN)/python tests/benchmarks/bench_doctor.py --write
	$(BIN)/python tests/benchmarks/bench_apply.py --write

diff: $(VENV)/lab ## show what changed in the lessons, as text, without pictures (ARGS="main -- notebooks/zh")
	git -c diff.lesson.textconv="$(BIN)/jupyter nbconvert --to markdown --stdout --log-level ERROR" \
		diff $(or $(ARGS),-- notebooks)

lock: $(VENV)/installed ## write constraints.txt anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group install $(LOCKED:%=--extra %) --universal --python-version 3.11 --upgrade --quiet \
		--no-annotate --custom-compile-command "make lock" --output-file constraints.txt

frameworks: $(VENV)/torch ## try the lessons' cells for PyTorch, Flax and Keras, and record anew what they do
	$(PIP) install $(FRAMEWORKS)
	$(BIN)/python -m pytest tests/unit/test_in_your_framework.py
	$(BIN)/python tools/record_frameworks.py

font: $(VENV)/installed ## cut the Chinese font anew (needs Debian's fonts-noto-cjk)
	$(PIP) install --constraint constraints.txt --editable ".[font]"
	@$(RELATIVE)
	$(BIN)/python tools/make_font.py $(ARGS)

bundle: $(VENV)/installed ## pack the course for a room without a network (ARGS="--platform windows")
	$(BIN)/python tools/bundle.py $(ARGS)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

clean: ## remove .venv and every cache
	rm -rf $(VENV) .nox .pytest_cache .hypothesis .ruff_cache .mypy_cache build dist _site _site.zip
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

# venv takes four seconds to bring a pip of its own; the one that is there (from 22.3) can do its work.
HAS_PIP := import pip, sys; sys.exit([int(n) for n in pip.__version__.split(".")[:2]] < [22, 3])

# True where all that is compiled can be imported: one Python an extra, at the same time.
IMPORTS = { pids=; $(foreach extra,$(EXTRAS),$(BIN)/python -c 'import $(USED_$(extra))' & pids="$$pids $$!";) \
	for pid in $$pids; do wait $$pid || pids=; done; [ -n "$$pids" ]; }
# Python 3.11 and 3.12 read this file in the locale's encoding, which may not have the characters of the folder.
RELATIVE = [ $(VENV) != .venv ] || for path in .venv/lib/python3*/site-packages/*_initkit_course.pth; do \
	echo ../../../.. >"$$path"; done
comma := ,

# To read takes $(VENV)/lab; all else takes $(VENV)/installed, which has the tests' packages too.
TOOLS := uv pip
$(VENV)/lab: EXTRAS := course
$(VENV)/installed: EXTRAS := course test
$(VENV)/installed: TOOLS += nox
# The project is installed editable, so only what pip reads can make an installation old. What was installed stays
# in use where there is no network; what a full disk or Ctrl-C left `unfinished` is thrown away.
$(VENV)/lab $(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "initkit needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@if [ -e $(VENV)/unfinished ]; then echo "$(VENV) was not finished: it is made anew"; rm -rf $(VENV); fi
	@mkdir -p $(VENV) && touch $(VENV)/unfinished
	@if $(PYTHON) -c '$(HAS_PIP)' 2>/dev/null; then \
		$(PYTHON) -m venv --without-pip $(VENV) && pip="$(PYTHON) $(RUN_PIP) --python $(BIN)/python"; \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV) && pip="$(PIP)"; \
	else \
		echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv"; exit 1; \
	fi && echo "installing into $(VENV)" && \
	wanted='--editable .[$(subst $() ,$(comma),$(EXTRAS))]' && \
	export PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt UV_DEFAULT_INDEX="$(INDEX)" && \
	if [ -e $@ ]; then export PIP_RETRIES=0 UV_HTTP_RETRIES=0; fi && { \
		{ [ -x $(BIN)/uv ] || $$pip install --no-compile uv; } && $(UV) $$wanted $(TOOLS) || \
		$$pip install --no-compile $$wanted $(filter-out uv,$(TOOLS)) || \
		{ [ -e $@ ] && $(IMPORTS) && rm $(VENV)/unfinished && \
			echo "$(VENV) is older than constraints.txt and could not be brought up to date: it is used as it is"; }; }
	@$(RELATIVE)
	@# On a full disk Python leaves half of a .pyc and says nothing; a megabyte that can be written tells.
	@if [ -e $(VENV)/unfinished ]; then $(IMPORTS) && head -c 1000000 /dev/zero >$(VENV)/unfinished && \
		rm $(VENV)/unfinished && touch $(VENV)/lab $@; fi

$(VENV)/browser $(VENV)/site $(VENV)/binder $(VENV)/docs: $(VENV)/%: $(VENV)/installed
	$(PIP) install --constraint constraints.txt --editable ".[$*]"
	@$(RELATIVE)
	@touch $@

$(VENV)/bench: $(VENV)/torch
	$(UV) --group bench "$(TORCH)"
	@touch $@

$(VENV)/torch: $(VENV)/installed
	$(PIP) install --constraint constraints.txt "$(TORCH)"
	@touch $@
