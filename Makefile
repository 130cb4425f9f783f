# make demo, make test, make check, make bench: each sets up all it needs first. uv is used where it is found, else kept in .uv.
SHELL := /bin/sh
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
WORKERS ?= 2
# Bytecode is kept in .venv: without it every process that is started compiles all of torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check soak bench clean

demo: .venv/ready
	$(RUN) star demo demo

test: .venv/ready
	OMP_NUM_THREADS=1 $(RUN) pytest -n $(WORKERS) --dist worksteal -m "not soak"

soak: .venv/ready
	$(RUN) pytest -m soak

check: .venv/ready
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) pyright
	$(RUN) lint-imports

# One table of all claims in docs/benchmarks.md, about 20 minutes on two cores. PENN=PATH reads Penn Action, VIDEOS=FOLDER real videos,
# in place of drawn ones; ONLY="NAME NAME" leaves the other rows as they are. imageio-ffmpeg brings an ffmpeg to compare with.
bench: .venv/ready
	-$(UV) pip install --quiet imageio-ffmpeg
	$(RUN) python benchmarks/bench.py $(if $(PENN),--penn "$(PENN)") $(if $(VIDEOS),--videos "$(VIDEOS)") $(if $(ONLY),--only $(ONLY))

.venv/ready: pyproject.toml | $(UV)
	$(UV) sync --compile-bytecode --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	touch $@

.uv/bin/uv:
	$(PYTHON) tools/get_uv.py .uv

clean:
	rm -rf .venv .uv demo *.egg-info
