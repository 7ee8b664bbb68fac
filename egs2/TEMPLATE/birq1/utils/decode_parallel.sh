#!/usr/bin/env bash
# Decodes a data directory by ESPnet's own beam search, in parallel jobs.
set -euo pipefail

python=python3       # Python to run.
nj=1                 # Number of parallel jobs.
ngpu=0               # GPUs for each job.
backend=             # Command that runs a job with a log.
data_dir=            # Data directory to decode.
output_dir=          # Where the hypotheses go.
config=              # Decoding configuration.
asr_train_config=    # config.yaml of the model.
asr_model_file=      # Parameters of the model.
arguments=           # Arguments for asr_inference, as shell words.
. utils/parse_options.sh

logdir=${output_dir}/logdir
rm -rf "${logdir}"
mkdir -p "${logdir}"
total=$(wc -l < "${data_dir}/wav.scp")
nj=$((nj < total ? nj : total))
utils/split_lines.sh "${data_dir}/wav.scp" "${nj}" "${logdir}/keys." .scp
mapfile -t words < <(xargs -r printf '%s\n' <<< "${arguments}")
utils/parallel_jobs.sh "${nj}" "${backend}" "${logdir}/asr_inference.JOB.log" \
    "${python}" -m espnet2.bin.asr_inference --batch_size 1 --ngpu "${ngpu}" --config "${config}" \
    --data_path_and_name_and_type "${data_dir}/wav.scp,speech,sound" --key_file "${logdir}/keys.JOB.scp" \
    --asr_train_config "${asr_train_config}" --asr_model_file "${asr_model_file}" \
    --output_dir "${logdir}/output.JOB" "${words[@]}"
for name in token token_int score text; do
    for ((job = 1; job <= nj; job++)); do
        cat "${logdir}/output.${job}/1best_recog/${name}"
    done | LC_ALL=C sort -k 1,1 > "${output_dir}/.${name}.tmp"
    mv "${output_dir}/.${name}.tmp" "${output_dir}/${name}"
done
