#!/usr/bin/env bash
# Run the tests: test.sh PYTHON [PYTEST ARGUMENTS]. Those that start no processes of ours run in two workers; then
# those that start and kill processes, one after the other, because they count seconds. None selected by the
# arguments in one of the two parts is fine, in both it is an error.
set -uo pipefail
python=$1
shift
none=5 # pytest's status for "no tests ran"
"$python" -m pytest -n 2 --dist loadfile -m "not process" "$@"
quiet=$?
[ $quiet -eq 0 ] || [ $quiet -eq $none ] || exit $quiet
"$python" -m pytest -m process "$@"
loud=$?
[ $loud -eq $none ] && exit $quiet
exit $loud
