#!/usr/bin/env bash
# Where commands run. Sourced by birq.sh. Each backend takes [--gpu N] [--num_nodes N] [--cpus N] LOG COMMAND...
#
#   local   this machine; several GPUs by torchrun (--ngpu)
#   slurm   a Slurm cluster; several nodes by srun and torchrun (--ngpu, --num_nodes)

cmd_backend=${cmd_backend:-local}

case ${cmd_backend} in
    local)
        export train_cmd="utils/run_local.sh"  # data and statistics
        export cuda_cmd="utils/run_local.sh"   # training
        export decode_cmd="utils/run_local.sh" # decoding
        ;;
    slurm)
        # Options for every sbatch, e.g. "--partition=gpu --time=2-0 --mem=64G".
        export SLURM_OPTIONS=${SLURM_OPTIONS:-}
        export train_cmd="utils/run_slurm.sh"
        export cuda_cmd="utils/run_slurm.sh"
        export decode_cmd="utils/run_slurm.sh"
        ;;
    *)
        echo "cmd.sh: error: cmd_backend must be local or slurm, not '${cmd_backend}'" >&2
        exit 1
        ;;
esac
