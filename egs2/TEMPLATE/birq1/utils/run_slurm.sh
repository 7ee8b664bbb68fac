#!/usr/bin/env bash
# Runs a command as a Slurm job and waits for it: run_slurm.sh [--gpu N] [--num_nodes N] [--cpus N] LOG COMMAND...
# The job script is left beside the log as LOG.sbatch. SLURM_OPTIONS of cmd.sh (partition, time, ...) go to sbatch.
set -euo pipefail

gpu=0
num_nodes=1
cpus=1
while [[ ${1:-} == --* ]]; do
    case $1 in
        --gpu) gpu=$2 ;;
        --num_nodes) num_nodes=$2 ;;
        --cpus) cpus=$2 ;;
        *)
            echo "run_slurm.sh: error: unknown option $1" >&2
            exit 2
            ;;
    esac
    shift 2
done
logfile=$1
shift
if ! command -v sbatch > /dev/null; then
    echo "run_slurm.sh: error: no sbatch on this machine: set cmd_backend=local in cmd.sh" >&2
    exit 1
fi

mkdir -p "$(dirname "${logfile}")"
script=${logfile}.sbatch
{
    echo "#!/usr/bin/env bash"
    echo "#SBATCH --job-name=birq-$(basename "${logfile}" .log)"
    echo "#SBATCH --output=${logfile}"
    echo "#SBATCH --nodes=${num_nodes}"
    echo "#SBATCH --ntasks-per-node=1"
    echo "#SBATCH --cpus-per-task=${cpus}"
    if ((gpu > 0)); then
        echo "#SBATCH --gpus-per-node=${gpu}"
    fi
    printf 'cd %q\n' "${PWD}"
    printf '%q ' "$@"
    printf '\n'
} > "${script}"
: > "${logfile}"
read -r -a options <<< "${SLURM_OPTIONS:-}"
# A job that outlived an interrupted recipe would write beside its successor.
trap 'if [[ -s ${script}.id ]]; then scancel "$(cat "${script}.id")"; fi; exit 130' INT TERM
sbatch --wait --parsable "${options[@]}" "${script}" > "${script}.id" &
status=0
wait $! || status=$?
if ((status != 0)); then
    echo "# sbatch ended with status ${status} (job ${script}, number $(cat "${script}.id"))" >> "${logfile}"
fi
exit "${status}"
