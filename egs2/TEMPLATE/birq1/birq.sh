#!/usr/bin/env bash
# BiRQ speech pretraining and ASR fine-tuning, in stages:
#    1 data   2 speed perturbation   3 format audio   4 filter   5 token list
#    6 pretraining statistics   7 pretraining   8 label diagnostics, export of the encoder
#    9 ASR statistics   10 ASR training   11 decoding   12 scoring   13 pack   14 upload
# Run in the folder of a recipe, usually by its run.sh. A stage that is finished for the same options and inputs is not
# run again.

# shellcheck disable=SC2329  # the stages are called by their number
set -euo pipefail

. ./path.sh
. ./cmd.sh
. utils/step.sh

## General
stage=1                     # First stage.
stop_stage=14               # Last stage.
skip_stages=                # Stages to leave out, separated by spaces.
ngpu=0                      # GPUs on each node (0: processor only).
num_nodes=1                 # Nodes for training (more than one: with cmd_backend=slurm).
nj=${BIRQ_CORES}            # Parallel jobs for data and statistics.
inference_nj=${BIRQ_CORES}  # Parallel jobs for ESPnet's beam search.
dumpdir=dump                # Where formatted audio goes.
expdir=exp                  # Where experiments go.
datadir=data                # Where data directories are.
python=python3              # Python to run.
dry_run=false               # Only print what each stage would run.
restart=false               # When the settings of a training changed, set its folder aside and start anew.

## Data
train_set=                  # Training set of pretraining.
valid_set=                  # Validation set of pretraining.
asr_train_set=              # Training set of ASR; by default that of pretraining.
asr_valid_set=              # Validation set of ASR; by default that of pretraining.
test_sets=                  # Sets to decode, separated by spaces.
local_data_opts=            # Options for local/data.sh.
speed_perturb_factors=      # Speeds of copies of the training sets, e.g. "0.9 1.0 1.1".
audio_format=flac           # {flac|wav} Format of the audio under dumpdir.
fs=16k                      # Sampling rate, e.g. 16k or 16000.
min_wav_duration=0.1        # Shortest training utterance in seconds.
max_wav_duration=30         # Longest training utterance in seconds.
lang=noinfo                 # Language, for the name of the token list.

## Pretraining
use_ssl=true                # Start ASR from the pretrained encoder (false: from random weights).
ssl_config=                 # Configuration of pretraining.
ssl_args=                   # Arguments that override it, e.g. "--max_epoch 50 --optim_conf lr=1e-3".
ssl_tag=                    # Name of the pretraining; by default made from the configuration and arguments.
ssl_exp=                    # Folder of the pretraining; by default expdir/ssl_TAG.
inference_ssl_model=latest.pth # Which of its models is exported.

## ASR
asr_config=                 # Configuration of ASR training.
asr_args=                   # Arguments that override it.
asr_tag=                    # Name of the ASR training; by default made from the configuration and the pretraining.
asr_exp=                    # Folder of the ASR training; by default expdir/asr_TAG.
asr_trainer=birq            # {birq|espnet} Training command: ours, or ESPnet's own asr_train.
token_type=char             # {char|bpe} Kind of output token.
nbpe=500                    # Number of BPE tokens.
transfer_layers=            # How many of the lowest encoder layers start from the pretraining (default: all).

## Decoding
asr_inference=birq          # {birq|espnet} Decoder: CTC greedy in batches, or ESPnet's beam search.
inference_config=           # Configuration of decoding.
inference_args=             # Arguments that override it.
inference_asr_model=valid.loss.ave.pth # Which model of the ASR training decodes.
score_opts=                 # Options for birq_score.
download_model=             # Use a packed model (file, URL or Hugging Face name) instead of training one.

## Publishing
hf_repo=                    # Hugging Face repository to upload to, e.g. somebody/birq_debvox.
upload=false                # Really upload (false: print what would go where).
. utils/parse_options.sh

# ---------------------------------------------------------------------------------------------------- derived names

need() { # OPTION...: refuses to go on without them
    local name
    for name in "$@"; do
        [[ -n ${!name} ]] || die "stage ${stage_now} needs --${name}"
    done
}

words() { # TEXT: leaves its shell words in the array WORDS
    local separated
    separated=$(xargs -r printf '%s\n' <<< "$1") || die "unbalanced quotes in the option value: $1"
    WORDS=()
    [[ -z ${separated} ]] || mapfile -t WORDS <<< "${separated}"
}

unique() { # NAMES...: prints each once, in order
    printf '%s\n' "$@" | awk 'NF && !seen[$0]++'
}

tag_of() { # CONFIG ARGUMENTS: prints a folder name made from them
    local tag
    tag=$(basename "${1:-default}")
    echo "${tag%.*}$(sed -e 's/--/_/g' -e 's/[^A-Za-z0-9._+-]//g' <<< "$2")"
}

fs=${fs/%k/000}
[[ ${fs} =~ ^[0-9]+$ ]] || die "--fs must be a sampling rate such as 16k or 16000, not '${fs}'"
[[ -z ${transfer_layers} || ${transfer_layers} =~ ^[0-9]+$ ]] || die "--transfer_layers must be a whole number, not '${transfer_layers}'"
[[ -z ${speed_perturb_factors} || ${speed_perturb_factors} =~ ^[0-9.\ ]+$ ]] ||
    die "--speed_perturb_factors must be numbers separated by spaces, not '${speed_perturb_factors}'"

if [[ -n ${download_model} && ${dry_run} == false ]]; then
    downloaded=$("${python}" -m espnet2_birq.bin.birq_download --model "${download_model}" --expdir "${expdir}")
    read -r kind folder <<< "${downloaded}"
    if [[ ${kind} == ssl ]]; then
        ssl_exp=${folder}
        skip_stages+=" 6 7 8"
    else
        asr_exp=${folder}
        inference_asr_model=model.pth
        skip_stages+=" 2 4 5 6 7 8 9 10 13 14"
    fi
fi
asr_train_set=${asr_train_set:-${train_set}}
asr_valid_set=${asr_valid_set:-${valid_set}}
read -r -a test_list <<< "${test_sets}"
read -r -a data_backend <<< "${train_cmd}"
read -r -a decode_backend <<< "${decode_cmd} --gpu ${ngpu}"
mapfile -t original_train_sets < <(unique "${train_set}" "${asr_train_set}")
if [[ -n ${speed_perturb_factors} ]]; then
    train_set=${train_set:+${train_set}_sp}
    asr_train_set=${asr_train_set:+${asr_train_set}_sp}
fi
mapfile -t training_sets < <(unique "${train_set}" "${valid_set}" "${asr_train_set}" "${asr_valid_set}")

ssl_tag=${ssl_tag:-$(tag_of "${ssl_config}" "${ssl_args}")${speed_perturb_factors:+_sp}}
ssl_exp=${ssl_exp:-${expdir}/ssl_${ssl_tag}}
if [[ -z ${asr_tag} ]]; then
    asr_tag=$(tag_of "${asr_config}" "${asr_args}")
    [[ ${token_type} == char ]] || asr_tag+=_${token_type}${nbpe}
    [[ ${asr_train_set} == "${train_set}" ]] || asr_tag+=_${asr_train_set}
    [[ ${asr_train_set} != "${train_set}" || -z ${speed_perturb_factors} ]] || asr_tag+=_sp
    if [[ ${use_ssl} == true ]]; then
        asr_tag+=_$(basename "${ssl_exp}")${transfer_layers:+_layers${transfer_layers}}
    else
        asr_tag+=_scratch
    fi
fi
asr_exp=${asr_exp:-${expdir}/asr_${asr_tag}}
decode_tag=$(tag_of "${inference_config:-decode_ctc_greedy}" "${inference_args}")
export_dir=${ssl_exp}/export
bpemodel=
if [[ ${token_type} == bpe ]]; then
    token_dir=${datadir}/${lang}_token_list/bpe_unigram${nbpe}
    bpemodel=${token_dir}/bpe.model
else
    token_dir=${datadir}/${lang}_token_list/char
fi
if [[ ${kind:-} == asr ]]; then
    bpemodel=
    [[ ! -e ${asr_exp}/bpe.model ]] || bpemodel=${asr_exp}/bpe.model
fi
ssl_pack=${ssl_exp}/$(basename "${ssl_exp}").zip
asr_pack=${asr_exp}/$(basename "${asr_exp}")_${inference_asr_model%.*}.zip
logs=${expdir}/logs

formatted() { # SET: prints the folder of its formatted audio before filtering
    if [[ " ${training_sets[*]} " == *" $1 "* ]]; then
        echo "${dumpdir}/raw/org/$1"
    else
        echo "${dumpdir}/raw/$1"
    fi
}

inputs_of() { # DIR FILES...: leaves --input for those that exist in the array INPUTS
    local dir=$1 name
    shift
    INPUTS=()
    for name in "$@"; do
        [[ ! -e ${dir}/${name} ]] || INPUTS+=(--input "${dir}/${name}")
    done
}

config_hash() { # STAGE CONFIG ARGUMENTS KEYS -- birq_done arguments: prints the hash of a statistics folder
    local -a keys=()
    local config=$2 arguments=$3
    local number=$1
    shift 3
    while [[ $1 != -- ]]; do
        keys+=(--config_key "$1")
        shift
    done
    shift
    if ! birq_done hash --stage "${number}" --config "${config}" "--args=${arguments}" "${keys[@]}" "$@"; then
        [[ ${dry_run} == true ]] || return 1
        echo HASH # of data that does not exist yet
    fi 2> >([[ ${dry_run} == true ]] || cat >&2)
}

# ---------------------------------------------------------------------------------------------------------- stages

stage_1() { # data preparation
    local dset
    local -a outputs=()
    need train_set valid_set
    for dset in $(unique "${original_train_sets[@]}" "${valid_set}" "${asr_valid_set}" "${test_list[@]}"); do
        outputs+=(--output "${datadir}/${dset}/wav.scp" --output "${datadir}/${dset}/utt2spk")
    done
    words "${local_data_opts}"
    step "data preparation" "${logs}/1_data.log" --option "local_data_opts=${local_data_opts}" \
        --input local --input db.sh "${outputs[@]}" -- \
        "${data_backend[@]}" "${logs}/1_data.log" local/data.sh --datadir "${datadir}" "${WORDS[@]}"
    for dset in $(unique "${original_train_sets[@]}" "${valid_set}" "${asr_valid_set}" "${test_list[@]}"); do
        inputs_of "${datadir}/${dset}" wav.scp utt2spk spk2utt segments text
        step "check of ${datadir}/${dset}" "${logs}/1_validate_${dset}.log" "${INPUTS[@]}" -- \
            "${data_backend[@]}" "${logs}/1_validate_${dset}.log" \
            "${python}" -m espnet2_birq.bin.birq_validate --data_dir "${datadir}/${dset}"
    done
}

stage_2() { # speed perturbation
    local dset
    if [[ -z ${speed_perturb_factors} ]]; then
        log "stage 2: no --speed_perturb_factors, nothing to do"
        return
    fi
    words "${speed_perturb_factors}"
    for dset in "${original_train_sets[@]}"; do
        inputs_of "${datadir}/${dset}" utt2spk segments text
        step "speed perturbation of ${dset}" "${logs}/2_perturb_${dset}.log" \
            --option "factors=${speed_perturb_factors}" --scp "${datadir}/${dset}/wav.scp" "${INPUTS[@]}" \
            --output "${datadir}/${dset}_sp/wav.scp" -- \
            "${data_backend[@]}" "${logs}/2_perturb_${dset}.log" \
            "${python}" -m espnet2_birq.bin.birq_perturb --data_dir "${datadir}/${dset}" \
            --out_dir "${datadir}/${dset}_sp" --factors "${WORDS[@]}"
    done
}

stage_3() { # format audio
    local dset out
    local -a reuse=()
    need train_set valid_set
    for dset in $(unique "${training_sets[@]}" "${test_list[@]}"); do
        out=$(formatted "${dset}")
        inputs_of "${datadir}/${dset}" utt2spk segments text utt2speed
        step "format audio of ${dset} into ${out}" "${logs}/3_format_${dset}.log" \
            --option "fs=${fs}" --option "audio_format=${audio_format}" \
            --scp "${datadir}/${dset}/wav.scp" "${INPUTS[@]}" \
            --output_scp "${out}/wav.scp" --output "${out}/utt2num_samples" -- \
            "${data_backend[@]}" --cpus "${nj}" "${logs}/3_format_${dset}.log" \
            "${python}" -m espnet2_birq.bin.birq_format --data_dir "${datadir}/${dset}" --out_dir "${out}" \
            --fs "${fs}" --audio_format "${audio_format}" --nj "${nj}" "${reuse[@]}"
        ((${#reuse[@]} > 0)) || reuse=(--reuse)
        reuse+=("${out}")
    done
}

stage_4() { # remove long, short and textless utterances
    local dset org text
    need train_set valid_set
    for dset in "${training_sets[@]}"; do
        org=${dumpdir}/raw/org/${dset}
        text=false
        if [[ ${dset} == "${asr_train_set}" || ${dset} == "${asr_valid_set}" ]] && [[ -e ${org}/text ]]; then
            text=true
        fi
        inputs_of "${org}" utt2spk utt2num_samples text
        step "filter ${dset} by length$([[ ${text} == false ]] || echo ' and text')" "${logs}/4_filter_${dset}.log" \
            --option "min=${min_wav_duration}" --option "max=${max_wav_duration}" --option "text=${text}" \
            --input "${org}/wav.scp" "${INPUTS[@]}" --output_scp "${dumpdir}/raw/${dset}/wav.scp" -- \
            "${data_backend[@]}" "${logs}/4_filter_${dset}.log" \
            "${python}" -m espnet2_birq.bin.birq_filter --data_dir "${org}" --out_dir "${dumpdir}/raw/${dset}" \
            --min_seconds "${min_wav_duration}" --max_seconds "${max_wav_duration}" --text "${text}"
    done
}

stage_5() { # token list
    local text=${dumpdir}/raw/${asr_train_set}/text dset
    local -a checks=() depends=()
    need asr_train_set
    for dset in $(unique "${asr_valid_set}" "${test_list[@]}"); do
        dset=$(formatted "${dset}")
        if [[ -e ${dset}/text ]]; then
            checks+=("${dset}/text")
            depends+=(--input "${dset}/text")
        fi
    done
    step "token list (${token_type}) from ${text}" "${logs}/5_tokens.log" \
        --option "token_type=${token_type}" --option "nbpe=${nbpe}" --input "${text}" "${depends[@]}" \
        --output "${token_dir}/tokens.txt" ${bpemodel:+--output "${bpemodel}"} -- \
        "${data_backend[@]}" "${logs}/5_tokens.log" \
        "${python}" -m espnet2_birq.bin.birq_tokens --text "${text}" --token_type "${token_type}" \
        --nbpe "${nbpe}" --out_dir "${token_dir}" ${checks[0]:+--check "${checks[@]}" --unknown_characters warn}
}

setting() { # KEY CONFIG ARGUMENTS: prints the value of a top-level key of a training
    local value
    value=$(sed -nE "s/.*--$1[ =]([^ ]+).*/\\1/p" <<< "$3")
    echo "${value:-$(sed -nE "s/^$1: *([^ #]+).*/\\1/p" "$2")}"
}

normalisation() { # CONFIG ARGUMENTS STATISTICS: leaves arguments for global mean and variance in the array NORMALISATION
    NORMALISATION=()
    if [[ $(setting normalize "$1" "$2") == global_mvn ]]; then
        NORMALISATION=(--normalize_conf "stats_file=$3/train/feats_stats.npz")
    fi
}

statistics_of_ssl() { # leaves their folder in ssl_stats
    need ssl_config train_set valid_set
    ssl_stats=${expdir}/ssl_stats_$(config_hash 6 "${ssl_config}" "${ssl_args}" frontend frontend_conf input_size \
        model_conf.extract_feats_in_collect_stats -- --option "fs=${fs}" \
        --scp "${dumpdir}/raw/${train_set}/wav.scp" --scp "${dumpdir}/raw/${valid_set}/wav.scp")
    normalisation "${ssl_config}" "${ssl_args}" "${ssl_stats}"
    LABEL_STATISTICS=()
    case $(setting quantizer "${ssl_config}" "${ssl_args}") in
        pca_projection)
            label_command=birq_pca
            LABEL_STATISTICS=(--quantizer_conf "statistics=${ssl_stats}/pca_${ssl_tag}.npz")
            ;;
        centroids)
            label_command=birq_kmeans
            LABEL_STATISTICS=(--quantizer_conf "centroids=${ssl_stats}/centroids_${ssl_tag}.npz")
            ;;
    esac
}

stage_6() { # pretraining statistics
    local arguments=${ssl_args} made
    statistics_of_ssl
    if ((${#LABEL_STATISTICS[@]} > 0)); then # which this stage has yet to make
        arguments+=" --quantizer random_projection --quantizer_conf '{num_codes: 1}'"
    fi
    step "statistics of ${train_set} and ${valid_set} for pretraining" "${ssl_stats}/logdir/stats.1.log" \
        --output "${ssl_stats}/train/speech_shape" --output "${ssl_stats}/valid/speech_shape" -- \
        utils/collect_stats.sh --python "${python}" --module espnet2_birq.bin.birq_train --nj "${nj}" \
        --backend "${train_cmd}" --config "${ssl_config}" --arguments "${arguments}" --stats_dir "${ssl_stats}" \
        --train_dir "${dumpdir}/raw/${train_set}" --valid_dir "${dumpdir}/raw/${valid_set}"
    if ((${#LABEL_STATISTICS[@]} > 0)); then
        made=${LABEL_STATISTICS[1]#*=}
        words "${ssl_args}"
        step "label statistics in ${made}" "${made%.npz}.log" --option "args=${ssl_args}" --input "${ssl_config}" \
            --input "${ssl_stats}/train/speech_shape" --output "${made}" -- \
            "${data_backend[@]}" "${made%.npz}.log" "${python}" -m "espnet2_birq.bin.${label_command}" \
            --config "${ssl_config}" --data_dir "${dumpdir}/raw/${train_set}" --fs "${fs}" --out "${made}" \
            "${NORMALISATION[@]}" "${WORDS[@]}"
    fi
}

stage_7() { # pretraining
    local train=${dumpdir}/raw/${train_set} valid=${dumpdir}/raw/${valid_set}
    local -a depends
    statistics_of_ssl
    words "${ssl_args}"
    depends=(--scp "${train}/wav.scp" --scp "${valid}/wav.scp" --input "${ssl_stats}/train/speech_shape"
        --input "${ssl_stats}/valid/speech_shape")
    ((${#LABEL_STATISTICS[@]} == 0)) || depends+=(--input "${LABEL_STATISTICS[1]#*=}")
    step "pretraining of ${ssl_exp}" "${ssl_exp}/train.log" --option "args=${ssl_args}" --input "${ssl_config}" \
        "${depends[@]}" --output "${ssl_exp}/${inference_ssl_model}" -- \
        utils/train.sh "${python}" "${cuda_cmd} --gpu ${ngpu} --num_nodes ${num_nodes}" "${ssl_exp}/train.log" \
        --stage 7 --exp "${ssl_exp}" --config "${ssl_config}" "--args=${ssl_args}" "${depends[@]}" \
        --restart "${restart}" --advice "--ssl_tag NAME" -- \
        utils/launch.sh "${python}" "${ngpu}" "${num_nodes}" espnet2_birq.bin.birq_train --resume true \
        --config "${ssl_config}" --output_dir "${ssl_exp}" \
        --train_data_path_and_name_and_type "${train}/wav.scp,speech,sound" \
        --valid_data_path_and_name_and_type "${valid}/wav.scp,speech,sound" \
        --train_shape_file "${ssl_stats}/train/speech_shape" --valid_shape_file "${ssl_stats}/valid/speech_shape" \
        --fold_length 160000 "${NORMALISATION[@]}" "${LABEL_STATISTICS[@]}" "${WORDS[@]}"
}

stage_8() { # label diagnostics, export of the encoder
    local model=${ssl_exp}/${inference_ssl_model}
    need valid_set
    step "export of the encoder to ${export_dir}" "${logs}/8_export_$(basename "${ssl_exp}").log" \
        --input "${model}" --input "${ssl_exp}/config.yaml" \
        --output "${export_dir}/config.yaml" --output "${export_dir}/encoder.pth" -- \
        "${data_backend[@]}" "${logs}/8_export_$(basename "${ssl_exp}").log" \
        "${python}" -m espnet2_birq.bin.birq_export --ssl_exp "${ssl_exp}" --model "${inference_ssl_model}" \
        --out_dir "${export_dir}"
    step "label diagnostics in ${ssl_exp}/diagnostics" "${logs}/8_diagnose_$(basename "${ssl_exp}").log" \
        --input "${model}" --input "${ssl_exp}/config.yaml" --scp "${dumpdir}/raw/${valid_set}/wav.scp" \
        --output "${ssl_exp}/diagnostics/diagnostics.json" -- \
        "${data_backend[@]}" "${logs}/8_diagnose_$(basename "${ssl_exp}").log" \
        "${python}" -m espnet2_birq.bin.birq_diagnose --ssl_exp "${ssl_exp}" --model "${inference_ssl_model}" \
        --data_dir "${dumpdir}/raw/${valid_set}"
}

statistics_of_asr() { # leaves their folder in asr_stats
    local train=${dumpdir}/raw/${asr_train_set} valid=${dumpdir}/raw/${asr_valid_set}
    need asr_config asr_train_set asr_valid_set
    asr_stats=${expdir}/asr_stats_$(config_hash 9 "${asr_config}" "${asr_args}" frontend frontend_conf input_size \
        model_conf.extract_feats_in_collect_stats -- --option "fs=${fs}" --option "token_type=${token_type}" \
        --scp "${train}/wav.scp" --scp "${valid}/wav.scp" --input "${train}/text" --input "${valid}/text" \
        --input "${token_dir}/tokens.txt")
    token_options=(--token_list "${token_dir}/tokens.txt" --token_type "${token_type}")
    if [[ -n ${bpemodel} ]]; then
        token_options+=(--bpemodel "${bpemodel}")
    fi
    if [[ ${asr_trainer} == espnet ]]; then
        asr_module=espnet2.bin.asr_train
    else
        asr_module=espnet2_birq.bin.birq_asr_train
    fi
}

stage_9() { # ASR statistics
    statistics_of_asr
    step "statistics of ${asr_train_set} and ${asr_valid_set} for ASR" "${asr_stats}/logdir/stats.1.log" \
        --output "${asr_stats}/train/speech_shape" --output "${asr_stats}/valid/speech_shape" \
        --output "${asr_stats}/train/text_shape" --output "${asr_stats}/valid/text_shape" -- \
        utils/collect_stats.sh --python "${python}" --module "${asr_module}" --nj "${nj}" --text true \
        --backend "${train_cmd}" --config "${asr_config}" --arguments "${token_options[*]} ${asr_args}" \
        --stats_dir "${asr_stats}" \
        --train_dir "${dumpdir}/raw/${asr_train_set}" --valid_dir "${dumpdir}/raw/${asr_valid_set}"
}

stage_10() { # ASR training
    local train=${dumpdir}/raw/${asr_train_set} valid=${dumpdir}/raw/${asr_valid_set}
    local initial=${asr_exp}/init/encoder.pth
    local -a depends init_options=()
    statistics_of_asr
    normalisation "${asr_config}" "${asr_args}" "${asr_stats}"
    words "${asr_args}"
    depends=(--scp "${train}/wav.scp" --scp "${valid}/wav.scp" --input "${train}/text" --input "${valid}/text"
        --input "${token_dir}/tokens.txt" --input "${asr_stats}/train/speech_shape"
        --input "${asr_stats}/valid/speech_shape")
    if [[ ${use_ssl} == true ]]; then
        if ((${#NORMALISATION[@]} > 0)); then # the encoder expects features normalised as in its pretraining
            NORMALISATION=(--normalize_conf "stats_file=${export_dir}/feats_stats.npz")
        fi
        step "initial encoder for ${asr_exp}" "${logs}/10_init_$(basename "${asr_exp}").log" \
            --option "args=${asr_args}" --option "layers=${transfer_layers}" --input "${asr_config}" \
            --input "${export_dir}/config.yaml" --input "${export_dir}/encoder.pth" --output "${initial}" -- \
            "${data_backend[@]}" "${logs}/10_init_$(basename "${asr_exp}").log" \
            "${python}" -m espnet2_birq.bin.birq_init --export "${export_dir}" --asr_config "${asr_config}" \
            --out "${initial}" ${transfer_layers:+--layers "${transfer_layers}"} "${NORMALISATION[@]}" "${WORDS[@]}"
        init_options=(--init_param "${initial}:encoder:encoder")
        depends+=(--input "${initial}")
    fi
    step "ASR training of ${asr_exp}" "${asr_exp}/train.log" --option "args=${asr_args}" \
        --option "trainer=${asr_trainer}" --input "${asr_config}" "${depends[@]}" \
        --output "${asr_exp}/${inference_asr_model}" -- \
        utils/train.sh "${python}" "${cuda_cmd} --gpu ${ngpu} --num_nodes ${num_nodes}" "${asr_exp}/train.log" \
        --stage 10 --exp "${asr_exp}" --config "${asr_config}" "--args=${asr_args}" "${depends[@]}" \
        --restart "${restart}" --advice "--asr_tag NAME" -- \
        utils/launch.sh "${python}" "${ngpu}" "${num_nodes}" "${asr_module}" --resume true \
        --config "${asr_config}" --output_dir "${asr_exp}" "${token_options[@]}" \
        --train_data_path_and_name_and_type "${train}/wav.scp,speech,sound" \
        --train_data_path_and_name_and_type "${train}/text,text,text" \
        --valid_data_path_and_name_and_type "${valid}/wav.scp,speech,sound" \
        --valid_data_path_and_name_and_type "${valid}/text,text,text" \
        --train_shape_file "${asr_stats}/train/speech_shape" --train_shape_file "${asr_stats}/train/text_shape" \
        --valid_shape_file "${asr_stats}/valid/speech_shape" --valid_shape_file "${asr_stats}/valid/text_shape" \
        --fold_length 160000 --fold_length 150 "${init_options[@]}" "${NORMALISATION[@]}" "${WORDS[@]}"
}

stage_11() { # decoding
    local dset data out
    local -a depends command config=()
    need test_sets
    words "${inference_args}"
    [[ -z ${inference_config} ]] || config=(--config "${inference_config}")
    for dset in "${test_list[@]}"; do
        data=$(formatted "${dset}")
        out=${asr_exp}/${decode_tag}/${dset}
        if [[ ${asr_inference} == birq ]]; then
            command=("${decode_backend[@]}" "${out}/decode.log" "${python}" -m espnet2_birq.bin.birq_decode
                "${config[@]}" --ngpu "${ngpu}" --data_dir "${data}" --output_dir "${out}"
                --asr_train_config "${asr_exp}/config.yaml" --asr_model_file "${asr_exp}/${inference_asr_model}"
                "${WORDS[@]}")
        else
            need inference_config
            command=(utils/decode_parallel.sh --python "${python}" --nj "${inference_nj}" --ngpu "${ngpu}"
                --backend "${decode_backend[*]}" --config "${inference_config}" --arguments "${inference_args}"
                --data_dir "${data}" --output_dir "${out}" --asr_train_config "${asr_exp}/config.yaml"
                --asr_model_file "${asr_exp}/${inference_asr_model}")
        fi
        depends=(--option "inference=${asr_inference}" --option "args=${inference_args}" --scp "${data}/wav.scp"
            --input "${asr_exp}/${inference_asr_model}" --input "${asr_exp}/config.yaml")
        [[ -z ${inference_config} ]] || depends+=(--input "${inference_config}")
        step "decoding of ${dset} into ${out}" "${out}/decode.log" "${depends[@]}" --output "${out}/text" -- \
            "${command[@]}"
    done
}

stage_12() { # scoring
    local dset data out result scope
    local -a results
    need test_sets
    words "${score_opts}"
    for dset in "${test_list[@]}"; do
        data=$(formatted "${dset}")
        out=${asr_exp}/${decode_tag}/${dset}
        if [[ ! -e ${data}/text && ${dry_run} == false ]]; then
            log "stage 12: ${dset} has no text, so it is not scored"
            continue
        fi
        step "scoring of ${out}" "${out}/score.log" --option "opts=${score_opts}" --input "${data}/text" \
            --input "${data}/utt2spk" --input "${out}/text" ${bpemodel:+--input "${bpemodel}"} \
            --output "${out}/score_wer/result.txt" --output "${out}/score_cer/result.txt" -- \
            "${data_backend[@]}" "${out}/score.log" \
            "${python}" -m espnet2_birq.bin.birq_score --ref "${data}/text" --hyp "${out}/text" \
            --utt2spk "${data}/utt2spk" --out_dir "${out}" ${bpemodel:+--bpemodel "${bpemodel}"} "${WORDS[@]}"
    done
    for scope in "${asr_exp}" "${expdir}"; do
        results=()
        while IFS= read -r result; do
            results+=(--input "${result}")
        done < <(find "${scope}/" -path '*/score_*/result.json' -not -path '*/downloaded/*' 2> /dev/null | sort)
        step "table of results in ${scope}/RESULTS.md" "${logs}/12_results.log" "${results[@]}" \
            --output "${scope}/RESULTS.md" -- \
            "${data_backend[@]}" "${logs}/12_results.log" \
            "${python}" -m espnet2_birq.bin.birq_results --expdir "${scope}"
    done
    [[ ${dry_run} == true ]] || sed -n '/^## Environments/,/^$/d; /^##/,$p' "${asr_exp}/RESULTS.md"
}

stage_13() { # pack
    if [[ ${use_ssl} == true ]]; then
        step "pack of the encoder" "${logs}/13_pack_$(basename "${ssl_exp}").log" \
            --input "${export_dir}/config.yaml" --input "${export_dir}/encoder.pth" --output "${ssl_pack}" -- \
            "${data_backend[@]}" "${logs}/13_pack_$(basename "${ssl_exp}").log" \
            "${python}" -m espnet2_birq.bin.birq_pack ssl --exp "${ssl_exp}" --out "${ssl_pack}"
    fi
    inputs_of "${asr_exp}" RESULTS.md
    step "pack of the ASR model" "${logs}/13_pack_$(basename "${asr_exp}").log" "${INPUTS[@]}" \
        --input "${asr_exp}/config.yaml" --input "${asr_exp}/${inference_asr_model}" --output "${asr_pack}" -- \
        "${data_backend[@]}" "${logs}/13_pack_$(basename "${asr_exp}").log" \
        "${python}" -m espnet2_birq.bin.birq_pack asr --exp "${asr_exp}" --model "${inference_asr_model}" \
        --out "${asr_pack}"
}

stage_14() { # upload
    local kind pack repo
    for kind in ssl asr; do
        [[ ${kind} == asr || ${use_ssl} == true ]] || continue
        pack=${kind}_pack
        repo=${hf_repo:-YOUR_NAME/$(basename "${expdir}")}_${kind}
        if [[ ${upload} == false ]]; then
            log "stage 14: what --upload true would send (nothing is sent now)"
            [[ ${dry_run} == true ]] ||
                "${python}" -m espnet2_birq.bin.birq_upload --pack "${!pack}" --hf_repo "${repo}" --dry_run true
        else
            need hf_repo
            step "upload of ${!pack} to ${repo}" "${logs}/14_upload_${kind}.log" --option "repo=${repo}" \
                --input "${!pack}" -- \
                "${data_backend[@]}" "${logs}/14_upload_${kind}.log" \
                "${python}" -m espnet2_birq.bin.birq_upload --pack "${!pack}" --hf_repo "${repo}" --dry_run false
        fi
    done
}

# ------------------------------------------------------------------------------------------------------------- run

{ # read to its end before it starts, so that this file may be edited while it runs
    [[ ${use_ssl} == true ]] || skip_stages+=" 6 7 8"
    for ((stage_now = stage > 0 ? stage : 1; stage_now <= stop_stage && stage_now <= 14; stage_now++)); do
        if [[ " ${skip_stages} " == *" ${stage_now} "* ]]; then
            log "stage ${stage_now}: left out"
        else
            "stage_${stage_now}"
        fi
    done
    log "stages ${stage} to ${stop_stage} are done"
    exit 0
}
