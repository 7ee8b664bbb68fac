#!/usr/bin/env bash
# Finds the package and its Python. Sourced by birq.sh and the scripts in local/, in the folder of a recipe.

MAIN_ROOT=$(cd ../../.. && pwd -P)
if [[ -x ${MAIN_ROOT}/.venv/bin/python3 ]]; then
    export PATH=${MAIN_ROOT}/.venv/bin:${PATH}
fi
if [[ -d ${MAIN_ROOT}/espnet2_birq ]]; then
    export PYTHONPATH=${MAIN_ROOT}${PYTHONPATH:+:${PYTHONPATH}}
fi

# Sorting is by bytes everywhere, text is UTF-8 everywhere.
export LC_ALL=C
export PYTHONUTF8=1

# How many processors this shell may use: a container's share may be smaller than what nproc sees.
usable_cores() {
    local cores quota=max period=1
    cores=$(env -u OMP_NUM_THREADS nproc)
    if [[ -r /sys/fs/cgroup/cpu.max ]]; then
        read -r quota period < /sys/fs/cgroup/cpu.max
    fi
    if [[ ${quota} != max ]] && (((quota + period - 1) / period < cores)); then
        cores=$(((quota + period - 1) / period))
    fi
    echo "${cores}"
}
BIRQ_CORES=${BIRQ_CORES:-$(usable_cores)}
export BIRQ_CORES

# Threads of one process: OMP_NUM_THREADS where it is set; otherwise all cores for a command that runs alone (training,
# decoding) and one for each of several parallel jobs.
