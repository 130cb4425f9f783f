# make demo, make test, make check, make bench, make bench-gpu: each sets up all it needs first. uv is used where it is found, else kept in .uv.
SHELL := /bin/sh
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
WORKERS ?= 2
# Bytecode is kept in .venv: without it every process that is started compiles all of torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check soak bench bench-gpu clean

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
	$(RUN) python tools/structure.py

# One table of all claims in docs/benchmarks.md, about 20 minutes on two cores. PENN=PATH reads Penn Action, VIDEOS=FOLDER real videos,
# in place of drawn ones; ONLY="NAME NAME" leaves the other rows as they are. imageio-ffmpeg brings an ffmpeg to compare with.
bench: .venv/ready
	-$(UV) pip install --quiet imageio-ffmpeg
	$(RUN) python benchmarks/bench.py $(if $(PENN),--penn "$(PENN)") $(if $(VIDEOS),--videos "$(VIDEOS)") $(if $(ONLY),--only $(ONLY))

# Everything that needs a GPU, in at most eight minutes, into docs/benchmarks-gpu.md; a second call goes on where the first stopped.
# PENN=PATH trains on Penn Action in place of a drawn data set. ON=cpu TINY=1 shows on any machine that all of it works.
bench-gpu: .venv/ready
	$(RUN) python benchmarks/bench_gpu.py $(if $(ON),--device "$(ON)") $(if $(TINY),--tiny) $(if $(PENN),--penn "$(PENN)")

.venv/ready: pyproject.toml | $(UV)
	$(UV) sync --compile-bytecode --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	touch $@

.uv/bin/uv:
	$(PYTHON) tools/get_uv.py .uv

clean:
	rm -rf .venv .uv demo *.egg-info
