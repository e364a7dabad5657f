# make demo    SimCLR against MICLe on the built-in synthetic cases, under 10 minutes on two cores
# make test    the tests, but those of over two minutes
# make quick   those of a few seconds each; make long those of over two minutes
# make lint    style, imports and types, which .ci/run asks before the tests
# make coverage  the tests, and the share of the lines that they reach
# make mutants   small changes to the mathematics, and which of them no test notices
# make wheels  installs the wheel as a user does, on every Python of ours that is here
# make clean   removes .venv, runs/demo and caches
#
# Any of the Pythons of .ci/pythons will do; PYTHON=python3.13 says which.
PYTHON ?= $(shell .ci/pythons | head -n 1)
SEED ?= 0

.PHONY: demo lint test quick long coverage mutants wheels clean

demo: .venv/installed
	.venv/bin/python -m micle_tf.demo --seed=$(SEED)

lint: .venv/installed
	.ci/lint

# Three on two cores: some wait for processes of their own.
PYTEST = .venv/bin/python -m pytest -n 3 --dist loadfile

test: .venv/installed
	$(PYTEST) -m "not long"

quick: .venv/installed
	$(PYTEST) -m "not slow and not long"

long: .venv/installed
	$(PYTEST) -m long

coverage: .venv/installed
	$(PYTEST) --cov --cov-report=term:skip-covered

mutants: .venv/mutants
	.venv/bin/python -m tests.mutants

wheels:
	.ci/wheels

# Made again when what is to be installed changes.
.venv/installed: setup.cfg setup.py pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11, 3.12 or 3.13 on the path" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[lint,test]'
	touch $@

# What makes the mutants is asked for by nothing else.
.venv/mutants: .venv/installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[mutants]'
	touch $@

clean:
	rm -rf .venv runs/demo .*_cache .hypothesis .coverage* build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
