#!/usr/bin/env bash
# Starts or resumes a training: train.sh PYTHON "BACKEND" LOG RESUME_ARGUMENTS... -- COMMAND...
# The arguments go to `birq_done resume`, which refuses to go on from a checkpoint of another configuration or other
# data; that is reported here in one line, with status 9.
set -euo pipefail

python=$1 logfile=$3
read -r -a backend <<< "$2"
shift 3
resume=()
while [[ $1 != -- ]]; do
    resume+=("$1")
    shift
done
shift
"${python}" -m espnet2_birq.bin.birq_done resume "${resume[@]}" || exit 9
exec "${backend[@]}" "${logfile}" "$@"
