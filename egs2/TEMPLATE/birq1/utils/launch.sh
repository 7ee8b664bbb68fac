#!/usr/bin/env bash
# Starts a training command on one processor, several GPUs or several nodes:
#     launch.sh PYTHON NGPU NUM_NODES MODULE ARGUMENTS...
# Several nodes: inside a Slurm allocation only (run_slurm.sh makes one), one torchrun per node.
set -euo pipefail

python=$1 ngpu=$2 num_nodes=$3 module=$4
shift 4
if ((num_nodes > 1 || ngpu > 1)); then
    cores=${SLURM_CPUS_PER_TASK:-$(env -u OMP_NUM_THREADS nproc)}
    export OMP_NUM_THREADS=$((cores > ngpu && ngpu > 0 ? cores / ngpu : 1))
else
    exec "${python}" -m "${module}" --ngpu "${ngpu}" "$@"
fi

# torchrun starts the ranks; ESPnet must not start processes of its own, and each rank sees one GPU.
ranks=(--nproc_per_node "$((ngpu > 0 ? ngpu : 1))")
rank_options=(--ngpu "$((ngpu > 0 ? 1 : 0))" --multiprocessing_distributed false)
if ((ngpu == 0)); then
    rank_options+=(--dist_backend gloo)
fi
if ((num_nodes == 1)); then
    exec "${python}" -m torch.distributed.run --standalone "${ranks[@]}" -m "${module}" "${rank_options[@]}" "$@"
fi
if [[ -z ${SLURM_JOB_NODELIST:-} ]]; then
    echo "launch.sh: error: ${num_nodes} nodes need a Slurm allocation: set cmd_backend=slurm in cmd.sh" >&2
    exit 1
fi
nodes=$(scontrol show hostnames "${SLURM_JOB_NODELIST}")
exec srun --ntasks-per-node=1 "${python}" -m torch.distributed.run --nnodes "${num_nodes}" "${ranks[@]}" \
    --rdzv_id "${SLURM_JOB_ID}" --rdzv_backend c10d --rdzv_endpoint "${nodes%%[[:space:]]*}:$((20000 + SLURM_JOB_ID % 20000))" \
    -m "${module}" "${rank_options[@]}" "$@"
