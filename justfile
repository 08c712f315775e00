# Recipes for people. `.ci/run` is what a change has to pass.

bin := ".venv-test/bin"

# list the recipes
default:
    @just --list

# make .venv-test and install the package with its test and documentation tools
setup:
    python3 -m venv .venv-test
    {{bin}}/pip install -e '.[test,docs]'

# the whole suite
test *args:
    {{bin}}/pytest -n auto {{args}}

# unit and engine tests
fast *args:
    {{bin}}/pytest -n auto tests/unit tests/engine {{args}}

# style, format, import contracts, changelog fragments
lint:
    {{bin}}/ruff check .
    {{bin}}/ruff format --check .
    {{bin}}/lint-imports --no-logo
    python3 docs/changelog.py

# static types
types:
    {{bin}}/mypy

# the long forms: ten thousand seeds, every kill point, the explorer at full depth
long *args:
    {{bin}}/pytest -n auto -m long {{args}}

# the table of figures (15 minutes on a quiet machine)
bench *args:
    {{bin}}/pytest -m benchmark_table tests/benchmarks {{args}}

# line and branch coverage of core, engine and index
coverage:
    {{bin}}/coverage erase
    {{bin}}/coverage run -m pytest -n 0 tests/unit tests/engine
    {{bin}}/coverage combine -q
    {{bin}}/coverage report --show-missing

# the documentation site, into build/docs
docs:
    {{bin}}/sphinx-build -W --keep-going -q -b html docs build/docs
