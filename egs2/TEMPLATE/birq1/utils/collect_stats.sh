#!/usr/bin/env bash
# Collects the lengths and feature statistics that a training needs, in parallel jobs.
set -euo pipefail

python=python3       # Python to run.
module=              # Training command, as a module.
nj=1                 # Number of parallel jobs.
backend=             # Command that runs a job with a log.
train_dir=           # Data directory of the training set.
valid_dir=           # Data directory of the validation set.
text=false           # Also the lengths of the transcripts.
stats_dir=           # Where the statistics go.
config=              # Training configuration.
arguments=           # Arguments for the training command, as shell words.
. utils/parse_options.sh

lines() {
    wc -l < "$1"
}

logdir=${stats_dir}/logdir
rm -rf "${logdir}"
mkdir -p "${logdir}"
fewest=$(($(lines "${train_dir}/wav.scp") < $(lines "${valid_dir}/wav.scp") ? $(lines "${train_dir}/wav.scp") : $(lines "${valid_dir}/wav.scp")))
nj=$((nj < fewest ? nj : fewest))
if ((nj == 0)); then
    echo "collect_stats.sh: error: no utterances in ${train_dir} or ${valid_dir}" >&2
    exit 1
fi
utils/split_lines.sh "${train_dir}/wav.scp" "${nj}" "${logdir}/train." .scp
utils/split_lines.sh "${valid_dir}/wav.scp" "${nj}" "${logdir}/valid." .scp

command=("${python}" -m "${module}" --collect_stats true --ngpu 0 --config "${config}")
for part in train valid; do
    folder=${part}_dir
    command+=("--${part}_data_path_and_name_and_type" "${!folder}/wav.scp,speech,sound")
    if [[ ${text} == true ]]; then
        command+=("--${part}_data_path_and_name_and_type" "${!folder}/text,text,text")
    fi
    command+=("--${part}_shape_file" "${logdir}/${part}.JOB.scp")
done
# The statistics are of features before normalisation, which may itself need them.
command+=(--normalize none --output_dir "${logdir}/stats.JOB")
mapfile -t words < <(xargs -r printf '%s\n' <<< "${arguments}")
utils/parallel_jobs.sh "${nj}" "${backend}" "${logdir}/stats.JOB.log" "${command[@]}" "${words[@]}"

folders=()
for ((job = 1; job <= nj; job++)); do
    folders+=(--input_dir "${logdir}/stats.${job}")
done
# shellcheck disable=SC2086  # the backend is a command with options
${backend} "${logdir}/aggregate.log" "${python}" -m espnet2.bin.aggregate_stats_dirs "${folders[@]}" \
    --output_dir "${stats_dir}"
