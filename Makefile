# The first `make` of any kind makes the environment: Python 3.11 and a package index are all it needs.
#   make demo [PLATE=clip.mp4]   the product on its own plate (or yours), results in out/demo
#   make test                    the tests          make test-all   with the long ones          make test-lts   in the oldest Blender
#   make lint | bench | zip | env | clean | distclean
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help env demo test test-all test-lts lint bench zip freeze clean distclean

VENV ?= .venv
LTS := .venv-lts
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := $(VENV)/bin/python
STAMP := $(VENV)/mien.stamp
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:
	@sed -n '2,4s/^#//p' Makefile

env: $(STAMP)

$(STAMP): requirements/engine.txt requirements/recognition.txt requirements/dev.txt requirements/optional.txt requirements/constraints.txt pyproject.toml build/system_libraries.py
	@[[ -n "$(PYTHON)" ]] || { echo "Python 3.11 is missing; install it (Debian 12: apt-get install python3 python3-venv)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11, which Blender's module needs; type: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) build/system_libraries.py
	@[[ -x $(PY) ]] || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -r requirements/dev.txt -c requirements/constraints.txt $(PIP_ARGS)
	$(PY) -m pip install -q --no-deps -r requirements/optional.txt -e . $(PIP_ARGS)
	@touch $@

demo: $(STAMP)
	$(PY) build/demo.py $(if $(PLATE),--plate "$(PLATE)")

test: $(STAMP)
	$(PY) -m pytest

test-all: $(STAMP)
	$(PY) -m pytest -m ""

# All tests in Blender once more, in the oldest that the manifest allows; every other package is that of the first environment.
test-lts: $(LTS)/mien.stamp
	$(LTS)/bin/python -m pytest -m "" tests/blender

$(LTS)/mien.stamp: requirements/lts.txt $(STAMP)
	@[[ -x $(LTS)/bin/python ]] || $(PYTHON) -m venv $(LTS)
	$(LTS)/bin/python -m pip install -q --no-deps -r requirements/lts.txt $(PIP_ARGS)
	@$(PY) -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' > \
	  "$$($(LTS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_first_environment.pth"
	@touch $@

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m pyright

bench: $(STAMP)
	$(PY) benchmarks/bench.py $(BENCH_ARGS)

zip: $(STAMP)
	$(PY) build/package.py

# After a change of a pin: resolve again in a fresh environment, then write down what came out.
freeze: $(STAMP)
	@{ echo "# Every package of the environment that the tests run in, resolved. Used as pip's constraints; made by \`make freeze\`."; \
	  $(PY) -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > requirements/constraints.txt.new
	mv requirements/constraints.txt.new requirements/constraints.txt

clean:
	rm -rf out dist .pytest_cache .ruff_cache .benchmarks build/lib build/bdist*
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The environment as well: the next make builds it again.
distclean: clean
	rm -rf $(VENV) $(LTS) mien.egg-info
