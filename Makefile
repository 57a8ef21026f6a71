# Geo4D: every target does its own set-up from nothing, and only what has changed.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint extension samples clean distclean
PYTHON := .venv/bin/python

help:  ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup:  ## make the environments: engine, each Blender, wheels of the extension
	@tools/environments.sh

demo:  ## footage in, Blender scene and pictures out (demo/)
	@tools/environments.sh dev bpy45 wheels
	@$(PYTHON) tools/demo.py

test: setup  ## lint, engine tests, add-on tests in every Blender
	@$(PYTHON) tools/run_tests.py

lint:  ## lint and format check alone
	@tools/environments.sh dev
	@$(PYTHON) tools/run_tests.py --only lint --only format

extension:  ## build and validate the extension's zip for this machine (dist/)
	@tools/environments.sh dev bpy45 wheels
	@$(PYTHON) tools/extension.py

samples:  ## render the sample clips and their truth again (tests/data/)
	@tools/environments.sh dev bpy45
	@$(PYTHON) tests/data/render --sheet

clean:  ## remove what the targets built: zip, demo, caches
	rm -rf build/extension dist demo .ruff_cache .pytest_cache

distclean: clean  ## also remove the environments and the fetched wheels
	rm -rf .venv .venv-bpy45 .venv-bpy50 .venv-bpy52 wheels/*.whl
