# Two commands do everything: `make demo` and `make test`. Each makes .venv from the lock when it is not there.

# Where python3 was built without profile-guided optimisation, as by pyenv, its interpreter is a quarter slower than the
# system's: then that one, where it is of a version that fits and can make environments.
FITS := (3, 11) <= sys.version_info[:2] < (3, 14)
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell python3 -c 'import sysconfig as s; exit("--enable-optimizations" not in str(s.get_config_var("CONFIG_ARGS")))' \
	2>/dev/null || ! /usr/bin/python3 -c 'import ensurepip, sys; exit(not $(FITS))' 2>/dev/null \
	&& echo python3 || echo /usr/bin/python3)
endif
VENV := .venv
UV := $(VENV)/bin/uv
INSTALLED := $(VENV)/.installed
# uv itself is held to hashes by the pip that comes with Python. The few packages without a wheel are built by the
# setuptools of the lock, held to its hash as well: an isolated build would fetch and run whatever is newest.
GET_UV = test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet \
	--disable-pip-version-check --require-hashes --only-binary :all: -r bootstrap.lock; }

.PHONY: install demo test test-fast lint format bench bench-gpu docs lock clean

install: $(INSTALLED)

# Compiled here, once: packages and this code to bytecode, what reads shards to machine code. Else the first run of
# everything would do it, or each of several at once, and every run where PYTHONDONTWRITEBYTECODE is set. One file of
# PyTorch's is written for a later Python, at which compileall ends with an error. Packages' own tests nobody runs, nor
# the largest parts of packages that are here for something else.
NEVER_RUN := /tests?/|/testing/_internal/|/SelfTest/|/torch/_inductor/|/databricks/sdk/|/pip/|/apprise/plugins/|$\
	/onnxruntime/(tools|transformers|quantization)/|/moto/(stepfunctions|ec2|dynamodb|rds|glue|sagemaker)/|$\
	/networkx/algorithms/|/sympy/(physics|stats|parsing)/|/fontTools/|/cfnlint/|/dask/(array|dataframe)/|/numba/cuda/

$(INSTALLED): requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if $(FITS) else "reelsift needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d: try `make PYTHON=python3.11 $(MAKECMDGOALS)`" % sys.version_info[:2])'
	@$(GET_UV)
	@echo "Installing about 8 GB of packages into $(VENV) (a minute with a fast line) ..."
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --require-hashes -r requirements.lock \
		--build-constraints requirements.lock --require-build-hashes
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@echo "Compiling packages, and what reads shards (a minute) ..."
	@$(VENV)/bin/python -m compileall -q -j 0 conf deployments flows reelsift tasks tests
	@$(VENV)/bin/python -c "from tasks.records.filter import compile_kernels; compile_kernels()" & kernels=$$!; \
		$(VENV)/bin/python -W ignore -m compileall -qq -j 0 -x '$(NEVER_RUN)' $(VENV)/lib || true; \
		wait $$kernels
	@touch $@

demo: install
	@$(VENV)/bin/reelsift demo --yes

# Four processes on two processors: most tests wait for others that they have started. Groups are named in
# tests/conftest.py.
test: install
	@$(VENV)/bin/python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder

# What needs no server, browser, TensorFlow, real data or process of its own, without the longest files. Some wait.
test-fast: install
	@$(VENV)/bin/python -m pytest tests --fast -n 3 --dist loadgroup --no-loadscope-reorder

lint: install
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/pyright

format: install
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

bench: install
	@$(VENV)/bin/python -m tests.benchmarks $(ONLY)

# With the project's own environment where it is, else with that of PYTHON: a machine with a GPU may have no network.
bench-gpu:
	@$$(test -x $(VENV)/bin/python && echo $(VENV)/bin/python || echo $(PYTHON)) -m tests.benchmarks.gpu $(TINY)

# The generated parts of the pages first, then the site, into build/site; a link that leads nowhere fails.
docs: install
	@$(VENV)/bin/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "build/site/index.html"

# --universal covers every platform and Python that pyproject.toml admits; no index address gets into the lock.
lock:
	@$(GET_UV)
	@$(UV) pip compile --quiet --universal --generate-hashes --all-extras --no-emit-index-url --no-annotate \
		--no-header pyproject.toml --output-file requirements.lock
	@$(UV) --version | sed 's/^uv \([0-9.]*\).*/uv==\1/' | $(UV) pip compile --quiet --universal --generate-hashes \
		--no-emit-index-url --no-annotate --no-header - --output-file bootstrap.lock

# What a run made (datasets, models) lies in .reelsift and stays; `rm -r .reelsift` is yours to say.
clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
