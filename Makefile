# `make demo` and `make test` do all the set-up, in .venv; see README.md.

VENV := .venv
PYTHON := $(VENV)/bin/python
# Named after what PYENV_VERSION picks, so that another pick makes the environment anew.
READY := $(VENV)/.ready$(subst :,+,$(PYENV_VERSION))
READY_TO_TEST := $(VENV)/.ready_to_test$(subst :,+,$(PYENV_VERSION))
UV := uv==0.13.9
PYTHONS := $(if $(PYENV_VERSION),python) \
    python3.11 python3.10 python3.9 python3.13 python3.12 python3 python
DEMO := runs/demo

.PHONY: demo test test-newest newest lint format docs
.DELETE_ON_ERROR:

demo: $(READY)
	$(PYTHON) -m biggan_tf.train --gin_file=gin/demo.gin --model_dir=$(DEMO)
	$(PYTHON) -m biggan_tf.export --model_dir=$(DEMO)
	$(PYTHON) -m biggan_tf.sample --module=$(DEMO)/export --truncation=1 \
	    --labels=0,1,2,3,4,5,6,7,8,9 --seed=0 --output=samples.png
	@echo
	@echo "Samples, a row per class: samples.png"
	@echo "The run:                  $(DEMO)"
	@echo "The module for hub.load:  $(DEMO)/export"
	@echo "Curves and samples:       $(VENV)/bin/tensorboard --logdir $(DEMO)"

test: lint
	$(PYTHON) -m pytest

# The tests of what leans on TensorFlow, with the newer one that Python 3.12 and 3.13
# have: on PATH, or one that pyenv has installed.
NEWEST_TESTS := $(patsubst %,tests/test_%.py,layers networks gan parity distribution \
    loop saved_model weights moving_average stacks)
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
NEWEST := $(foreach v,3.13 3.12,python$(v) $(wildcard $(PYENV)/$(v).*/bin/python$(v)))

test-newest:
	@for python in $(NEWEST); do \
	    $$python -c 'import ensurepip, venv' 2>/dev/null || continue; \
	    exec $(MAKE) VENV=.venv-newest PYTHONS=$$python newest; \
	done; \
	echo "make test-newest is skipped: there is no Python 3.12 or 3.13 here"

newest: $(READY_TO_TEST)
	$(PYTHON) -m pytest $(NEWEST_TESTS)

lint: $(READY_TO_TEST)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(READY_TO_TEST)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# The site, in site/. It reads the code without running it, so it needs no TensorFlow.
docs: .venv-docs/.ready
	.venv-docs/bin/mkdocs build --strict

.venv-docs/.ready: docs/requirements.txt
	@python3 -m venv --clear .venv-docs
	@.venv-docs/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# The environment is made anew when what it depends on has changed. A Python counts only
# if it runs (shims may not) and can make environments (Debian's may not). Where none
# fits, uv fetches one.
$(READY): setup.py constraints.txt
	@found= bare=; \
	fits='import sys; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 14))'; \
	for python in $(PYTHONS); do \
	    $$python -c "$$fits" 2>/dev/null || continue; \
	    $$python -c 'import ensurepip, venv' 2>/dev/null && found=$$python && break; \
	    bare=$$python; \
	done; \
	if [ -n "$$found" ]; then \
	    echo "Making $(VENV) with $$($$found --version)"; \
	    $$found -m venv --clear $(VENV); \
	elif [ -n "$$bare" ]; then \
	    echo "$$bare cannot make environments: apt-get install $$bare-venv" >&2; \
	    exit 1; \
	else \
	    echo "No Python 3.9 to 3.13 here: uv fetches Python 3.12 for $(VENV)"; \
	    { $(fetch); } >/dev/null 2>&1 || { \
	        echo "No Python 3.9 to 3.13 found: install one, as with apt-get install" \
	            "python3.11-venv, or from python.org or by pyenv" >&2; \
	        exit 1; \
	    }; \
	fi
	@$(call install,.[offline-eval])
	@touch $@

$(READY_TO_TEST): $(READY)
	@$(call install,.[test])
	@touch $@

define fetch
	python3 -m venv --clear $(VENV)-uv && \
	$(VENV)-uv/bin/python -m pip install $(UV) && \
	UV_SYSTEM_CERTS=1 $(VENV)-uv/bin/uv venv --clear --seed \
	    --managed-python --python 3.12 $(VENV)
endef

# uv installs in a third of pip's time; where it cannot be had, pip does it. Folders of
# wheels that pip is told of, such as one with PyTorch's CPU build, are uv's too: the
# registry's build for Linux brings 2 GB of CUDA along.
define install
	($(PYTHON) -m pip install -q --disable-pip-version-check $(UV) && \
	    UV_SYSTEM_CERTS=1 UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" \
	    $(VENV)/bin/uv pip install --python $(PYTHON) \
	        -c constraints.txt -e '$(1)') || \
	$(PYTHON) -m pip install --disable-pip-version-check -c constraints.txt -e '$(1)'
endef
