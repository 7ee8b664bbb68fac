#!/usr/bin/env bash
# Runs jobs 1..N at once and waits for all: parallel_jobs.sh N "BACKEND" LOG COMMAND...
# JOB in the log's name and in the command stands for the number of the job. When some fail, the ends of their logs are shown
# and the status is 8.
set -euo pipefail

jobs=$1 logfile=$3
read -r -a backend <<< "$2"
shift 3
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
pids=()
# Not to leave jobs behind that write into a folder which the next run uses.
trap 'kill "${pids[@]}" 2> /dev/null || true; exit 130' INT TERM
for ((job = 1; job <= jobs; job++)); do
    setpriv --pdeathsig TERM "${backend[@]}" "${logfile//JOB/${job}}" "${@//JOB/${job}}" &
    pids+=($!)
done
failed=0
for ((job = 1; job <= jobs; job++)); do
    if ! wait "${pids[job - 1]}"; then
        ((++failed))
        echo "job ${job} of ${jobs} failed, last lines of ${logfile//JOB/${job}}:"
        tail -n 12 "${logfile//JOB/${job}}"
    fi
done
exit "$((failed > 0 ? 8 : 0))"
