# What a person runs. Everything is installed into .venv from requirements.lock; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The stack starts `python` and `prefect` by name in its children: they must be this venv's.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# A clock beside what takes minutes: it counts in a terminal, and writes a line now and then into a log.
# The work itself stays in the foreground, so that Ctrl-C ends it; `$$$$` is the shell that does it.
define SHOW_CLOCK
clock() { \
  n=0; \
  while sleep 1 && kill -0 $$$$ 2>/dev/null; do \
    n=$$((n + 1)); \
    if [ -t 2 ]; then printf '\r  %d s ' $$n >&2; \
    elif [ $$((n % 15)) -eq 0 ]; then echo "  ... $$n s" >&2; fi; \
  done; \
}; \
clock & \
trap 'kill '$$!' 2>/dev/null; [ ! -t 2 ] || echo >&2' EXIT; \
trap 'exit 130' INT; \
trap 'exit 143' TERM HUP
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo up demo-event test test-unit test-whole test-stack test-distributed test-benchmarks bench bench-scale bench-dask bench-latency bench-live bench-search bench-guests bench-pictures bench-capacity bench-gpu trace gate preview-study accuracy lint format lock faults hostile

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install into .venv (done by the others when needed)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "FacePass Sync needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3." >&2; exit 1; }
	@echo "Setting up $(VENV), once: about two minutes, more on a busy machine."
	@$(SHOW_CLOCK); \
	if command -v uv >/dev/null 2>&1; then \
	  echo "1 of 2: the packages of requirements.lock" && \
	  uv venv --quiet --clear --python "$(PYTHON)" $(VENV) && \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --no-deps -r requirements.lock && \
	  echo "2 of 2: FacePass Sync itself" && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  echo "1 of 3: an empty environment" && \
	  "$(PYTHON)" -m venv --clear $(VENV) && \
	  echo "2 of 3: the packages of requirements.lock, the longest part" && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock && \
	  echo "3 of 3: FacePass Sync itself" && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $@

demo: $(READY) ## the main job once, on sample photos; leaves nothing running
	@facepass demo

up: $(READY) ## the whole stack in the foreground; data stays in .facepass/; LAN=1: for phones of this network too
	@exec facepass up $(if $(filter-out 0,$(LAN)),--lan)

demo-event: $(READY) ## an event with sample photos for the stack that runs; prints its gallery
	@facepass demo-event

bench-scale: $(READY) ## what planning and storing cost at 100,000 photos; about ten minutes
	@python -m benchmarks.scale

# The guide's story on the real stack: a sync, the calls that start and follow it, a guest's search.
STORY := tests/integration/sync/test_sync.py tests/integration/api/test_rest.py tests/integration/search
ALONE := tests/integration/stack tests/integration/hung
# Two stacks side by side: the tests of one file share theirs.
SIDE_BY_SIDE := -n 2 --dist loadfile

test: $(READY) ## the unit tests, then the main story on the real stack; 11 minutes
	python -m pytest tests/unit -n 2
	python -m pytest $(STORY) $(SIDE_BY_SIDE)

test-whole: $(READY) ## everything else that a running stack is enough for, the browser too; 40 minutes
	python -m pytest tests/e2e tests/integration $(patsubst %,--ignore %,$(STORY) $(ALONE)) $(SIDE_BY_SIDE)

test-unit: $(READY) ## the quick loop
	python -m pytest tests/unit

test-stack: $(READY) ## stacks that start, stop, die, stand still and live side by side; 10 minutes
	python -m pytest tests/integration/stack $(SIDE_BY_SIDE)
	python -m pytest tests/integration/hung

test-distributed: $(READY) ## a Dask cluster, a few faults, three machines of which two are lost (needs root); 11 minutes
	python -m pytest tests/distributed $(SIDE_BY_SIDE) # the file with most tests goes to one process, the others to the other

test-benchmarks: $(READY) ## the benchmarks' own tests; a minute
	python -m pytest benchmarks -n 2 --dist loadfile # the large stand-in is built once

bench: $(READY) ## the guide's loop against ours, then the whole job (a quarter of an hour)
	@python -m benchmarks.engine

bench-gpu: $(READY) ## the guide's loop against ours on an NVIDIA card, and bare models; three minutes
	@python -m benchmarks.gpu $(ARGS)

bench-dask: $(READY) ## one event over a Dask cluster, up to 64 workers; about a quarter of an hour
	@python -m benchmarks.dask

bench-capacity: $(READY) ## a million photos in PostgreSQL, a day of a thousand syncs in Prefect; half an hour
	@python -m benchmarks.capacity

trace: $(READY) ## how many modules, moves and transactions one photo passes; a minute
	@python -m benchmarks.trace

gate: $(READY) ## what each faster backend changes on real photos; refuses what changes too much
	@python -m benchmarks.engine.gate

bench-latency: $(READY) ## how soon a sync answers and shows a face; about 2 minutes
	@python -m benchmarks.latency

bench-live: $(READY) ## seconds from an upload to an open guest's page, one photo a second; 3 minutes
	@python -m benchmarks.latency.live $(ARGS)

bench-search: $(READY) ## how long a guest's search takes, and what it rests on; about ten minutes
	@python -m benchmarks.search

bench-guests: $(READY) ## a hundred searches at once while a sync runs and S3 stands still; 3 minutes
	@python -m benchmarks.guests

bench-pictures: $(READY) ## fifty guests who look at thumbs and search while a sync runs; 3 minutes
	@python -m benchmarks.guests.pictures

preview-study: $(READY) ## what each size of previews finds and costs; remakes docs/previews.md; 3 to 10 minutes
	@python -m benchmarks.preview_sizes --docs docs

accuracy: $(READY) ## what is found and who else is shown, on photos of known people; remakes docs/accuracy.md; 10 minutes
	@FACEPASS_MODEL_PACK=$${FACEPASS_MODEL_PACK:-opencv_zoo} facepass accuracy --docs docs $(FOLDER)

faults: $(READY) ## over sixty faults in running syncs, each audited; 30 minutes at most
	@python -m benchmarks.faults

hostile: $(READY) ## hundreds of broken and hostile files; none may crash, stall or stay without a reason
	@python -m benchmarks.hostile

lint: $(READY) ## ruff, format check, strict types
	ruff check .
	ruff format --check .
	mypy

format: $(READY)
	ruff check --fix-only . ; ruff format .

LOCK := uv pip compile pyproject.toml --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet

# onnxruntime-gpu stands in for onnxruntime, which InsightFace asks for: both own one folder.
lock: ## renew requirements.lock, and the images' parts of it (needs uv)
	$(LOCK) --universal --extra dev --upgrade -o requirements.lock
	$(LOCK) --universal --extra server --constraints requirements.lock -o deployments/requirements.lock
	echo "onnxruntime; sys_platform == 'never'" | \
	  $(LOCK) --python-platform x86_64-manylinux_2_28 --extra server --extra cuda --upgrade \
	  --constraints requirements.lock --overrides /dev/stdin -o deployments/requirements-cuda.lock
