#!/usr/bin/env bash
# Make a virtual environment with exactly the pinned packages: setup.sh PYTHON VENV REQUIREMENTS
# Uses uv when it is there (faster), pip otherwise; hashes are checked by both. Builds nothing but Hakika itself.
set -euo pipefail
python=$1 venv=$2 requirements=$3

"$python" - <<'PY' || { echo "Hakika needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
import sys
sys.exit(sys.version_info < (3, 11))
PY

echo "setting up $venv from $requirements ..."
if command -v uv >/dev/null 2>&1; then
    [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
    uv pip sync --quiet --python "$venv/bin/python" --require-hashes "$requirements"
else
    if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$venv"
        "$python" -m venv "$venv" || {
            echo "python3 has no venv module; on Debian: apt-get install python3-venv" >&2
            exit 1
        }
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --require-hashes --only-binary :all: --requirement "$requirements"
fi

# Hakika itself, straight from src/: a path file and a command, so that no build backend has to be fetched.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
pwd >"$site/hakika.pth.tmp" && sed -i 's,$,/src,' "$site/hakika.pth.tmp" && mv "$site/hakika.pth.tmp" "$site/hakika.pth"
cat >"$venv/bin/hakika" <<SH
#!/bin/sh
exec "$(pwd)/$venv/bin/python" -m hakika.cli "\$@"
SH
chmod +x "$venv/bin/hakika"
"$venv/bin/python" -m compileall -q src # so that the first start has nothing to compile
