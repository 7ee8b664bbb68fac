#!/usr/bin/env bash
# Runs a command on this machine with its output in a log: run_local.sh [--gpu N] [--num_nodes N] [--cpus N] LOG COMMAND...
# A log that exists is continued. The options say what the command needs; on this machine there is nothing to reserve.
set -euo pipefail

while [[ ${1:-} == --* ]]; do
    if [[ $1 == --num_nodes && $2 != 1 ]]; then
        echo "run_local.sh: error: --num_nodes $2 needs a cluster: set cmd_backend=slurm in cmd.sh" >&2
        exit 1
    fi
    shift 2
done
logfile=$1
shift
mkdir -p "$(dirname "${logfile}")"
{
    echo "# $(printf '%q ' "$@")"
    echo "# started on $(uname -n) at $(date '+%Y-%m-%dT%H:%M:%S')"
} >> "${logfile}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${BIRQ_CORES:-$(nproc)}}
setpriv --pdeathsig TERM "$@" >> "${logfile}" 2>&1 &
child=$!
trap 'kill "${child}" 2> /dev/null || true' INT TERM
status=0
wait "${child}" || status=$?
echo "# ended with status ${status} at $(date '+%Y-%m-%dT%H:%M:%S')" >> "${logfile}"
exit "${status}"
