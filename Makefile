# Two commands: `make demo` trains a ResNet and prints its table; `make test` runs every check.
# Both install what they need first, and skip what is done. PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# What ffcv and our own extension compile against; g++ and Python's headers compile them.
SYSTEM_PACKAGES := libopencv-dev libturbojpeg0-dev libjpeg-dev pkg-config g++

export RAY_USAGE_STATS_ENABLED := 0

.PHONY: demo test check system bench clean help

help:
	@echo "make demo   install, train a ResNet-20 on handwritten digits, print the table"
	@echo "make test   install, then ruff, mypy, the import contracts and pytest"
	@echo "make bench  the measurements behind the README's figures"

demo: $(VENV)/.installed
	$(BIN)/resnet-cluster data prepare digits --as digits
	$(BIN)/resnet-cluster submit jobs/digits_r20.yaml
	$(BIN)/resnet-cluster report
	@echo "Next:"
	@echo "  $(BIN)/resnet-cluster status digits_r20"
	@echo "  $(BIN)/resnet-cluster data prepare cifar10 --as cifar10"
	@echo "  $(BIN)/resnet-cluster submit jobs/cifar10_r20.yaml --set train.epochs=2 --workers 2"
	@echo "(the last two download 170 MB and train for some ten minutes on two cores)"

# The store is tested on a real PostgreSQL, the sources on the real Fashion-MNIST.
test: SYSTEM_PACKAGES += postgresql dataset-fashion-mnist chromium
test: $(VENV)/.installed-dev check

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/order.py

# As root or by sudo; without either, say what to run.
system:
	@command -v dpkg-query >/dev/null || { \
	  echo "This is not Debian or Ubuntu: install OpenCV, libturbojpeg, libjpeg-turbo, pkg-config and g++," >&2; \
	  echo "each with its headers, then run: make SYSTEM_PACKAGES= $(or $(MAKECMDGOALS),demo)" >&2; \
	  test -z "$(strip $(SYSTEM_PACKAGES))"; }
	@missing=""; \
	for package in $(SYSTEM_PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
	    || missing="$$missing $$package"; \
	done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	$(PYTHON) -c 'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))' \
	  2>/dev/null || missing="$$missing python3-dev"; \
	test -n "$$missing" || exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root=""; \
	elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then as_root=sudo; \
	else \
	  echo "ffcv needs system packages, and only root can install them. Run this, then make again:" >&2; \
	  echo "  apt-get update && apt-get install -y$$missing" >&2; exit 2; \
	fi; \
	echo "installing$$missing"; \
	$$as_root apt-get update -qq \
	  && $$as_root env DEBIAN_FRONTEND=noninteractive \
	       apt-get install -y -qq --no-install-recommends $$missing >/dev/null

$(BIN)/python: | system
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13))' || { \
	  echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: name one with make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml setup.py constraints.txt resnet_cluster/data/_pixels.c | $(BIN)/python
	@echo "installing the package and PyTorch into $(VENV): some minutes, and some gigabytes"
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
