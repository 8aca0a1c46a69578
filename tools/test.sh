#!/usr/bin/env bash
# Run the tests: test.sh PYTHON [PYTEST ARGUMENTS]. First those that start no processes of ours, then those that start
# and kill them and mostly wait; each part in two workers, a file's tests in one of them. That the arguments select none
# in one of the two parts is fine, in both it is an error.
set -uo pipefail
python=$1
shift
none=5 # pytest's status for "no tests ran"
"$python" -m pytest -n 2 --dist loadfile -m "not process" "$@"
quiet=$?
[ $quiet -eq 0 ] || [ $quiet -eq $none ] || exit $quiet
"$python" -m pytest -n 2 --dist loadfile -m process "$@"
loud=$?
[ $loud -eq $none ] && exit $quiet
exit $loud
