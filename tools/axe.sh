#!/usr/bin/env bash
# axe-core, pinned with its hash in tools/axe/package-lock.json, into VENV/axe: axe.sh VENV
# Without npm the tests use the older script of the package axe-core-python.
set -euo pipefail
venv=$1
here=$(dirname "$0")/axe
script=$venv/axe/node_modules/axe-core/axe.min.js
if ! command -v npm >/dev/null 2>&1; then
    echo "npm is not installed: the browser tests look with axe-core 4.4.3" >&2
    exit 0
fi
if [ ! -f "$script" ] || ! cmp -s "$here/package-lock.json" "$venv/axe/package-lock.json"; then
    mkdir -p "$venv/axe"
    cp "$here/package.json" "$here/package-lock.json" "$venv/axe/"
    if ! timeout 120 npm ci --prefix "$venv/axe" --ignore-scripts --no-audit --no-fund --silent >&2; then
        rm -rf "$venv/axe"
        echo "axe-core could not be fetched: the browser tests look with axe-core 4.4.3" >&2
    fi
fi
