# make demo    SimCLR against MICLe on the built-in synthetic cases, under 10 minutes on two cores
# make test    the tests
# make clean   removes .venv, runs/demo and caches
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SEED ?= 0

.PHONY: demo test clean

demo: .venv/installed
	.venv/bin/python -m micle_tf.demo --seed=$(SEED)

test: .venv/installed
	.venv/bin/python -m pytest -n 2 --dist loadfile

# Made again when what is to be installed changes.
.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv runs/demo .pytest_cache build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
