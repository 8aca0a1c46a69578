#!/usr/bin/env bash
# Run the tests: test.sh PYTHON [PYTEST ARGUMENTS]. First those that start no processes of ours, then those that start
# and kill them and mostly wait. Each part in four workers, because two processors idle while a test waits; a worker
# that runs out of quiet tests takes some of another's, whereas a file of the second kind stays in one worker with the
# platform it started. That the arguments select none in one of the two parts is fine, in both it is an error.
set -uo pipefail
python=$1
shift
none=5 # pytest's status for "no tests ran"
"$python" -m pytest -n 4 --dist worksteal -m "not process" "$@"
quiet=$?
[ $quiet -eq 0 ] || [ $quiet -eq $none ] || exit $quiet
"$python" -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m process "$@"
loud=$?
[ $loud -eq $none ] && exit $quiet
exit $loud
