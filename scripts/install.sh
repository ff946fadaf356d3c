#!/bin/sh
# Installs imgsieve and its pinned requirements into the Python given as $1 (default: python3).
# The Dockerfile runs this, and so do `make setup` and the checks: what they install is what the image holds.
#   sh scripts/install.sh [PYTHON] [--dev]
set -eu
cd "$(dirname "$0")/.."
python="${1:-python3}"
requirements=requirements.txt
if [ "${2:-}" = "--dev" ]; then requirements=requirements-dev.txt; fi
"$python" -m pip install --no-input --disable-pip-version-check -r "$requirements" -c constraints.txt
"$python" -m pip check
