#!/bin/sh
# Makes a component of daily.py: apps/daily/build.sh FOLDER writes FOLDER/daily.wasm, 18 MB, which is not kept.
# Takes componentize-py from the Python package index, into an environment of its own in FOLDER.
set -eu
[ $# = 1 ] || { echo "Usage: apps/daily/build.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")"
if ! "$folder/venv/bin/componentize-py" --version > /dev/null 2>&1; then
    python3 -m venv "$folder/venv" || { echo "no environment for Python: apt-get install python3-venv" >&2; exit 1; }
    "$folder/venv/bin/pip" install -q --disable-pip-version-check componentize-py==0.25.1
fi
# The app sees nothing of WASI: what an app has is the world tutti:app/app and nothing else.
PYTHONDONTWRITEBYTECODE=1 "$folder/venv/bin/componentize-py" -d ../../wit -w app componentize daily --stub-wasi -o "$folder/daily.wasm"
echo "built: daily.wasm, $(wc -c < "$folder/daily.wasm") bytes"
