#!/usr/bin/env bash
# restate-server, pinned with its hash in tools/restate/package-lock.json, into VENV/restate: restate.sh VENV
# Without npm, or on a machine that it is not built for, the benchmark says that this peer is missing.
set -euo pipefail
venv=$1
here=$(dirname "$0")/restate
if ! command -v npm >/dev/null 2>&1; then
    echo "npm is not installed: speed is not compared with Restate" >&2
    exit 0
fi
if [ ! -d "$venv/restate/node_modules" ] || ! cmp -s "$here/package-lock.json" "$venv/restate/package-lock.json"; then
    mkdir -p "$venv/restate"
    cp "$here/package.json" "$here/package-lock.json" "$venv/restate/"
    if ! timeout 300 npm ci --prefix "$venv/restate" --ignore-scripts --no-audit --no-fund --silent >&2; then
        rm -rf "$venv/restate"
        echo "restate-server could not be fetched: speed is not compared with Restate" >&2
    fi
fi
