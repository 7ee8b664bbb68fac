#!/usr/bin/env bash
# DebVox: pretraining on 5.4 h of recorded speech in seven languages, fine-tuning on one of them.
#     ./run.sh [--lang en|es|fr|it|ru|cs|nl] [--subset all|1h|10min] [any option of birq.sh; ./run.sh --help lists them]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

lang=en    # language of fine-tuning and test
subset=10min # how much of its transcribed training speech
options=()
while (($# > 0)); do
    case $1 in
        --lang=*) lang=${1#*=} ;;
        --subset=*) subset=${1#*=} ;;
        --lang | --subset)
            if (($# < 2)); then
                echo "run.sh: error: $1 needs a value" >&2
                exit 2
            fi
            declare "${1#--}=$2"
            shift
            ;;
        *) options+=("$1") ;;
    esac
    shift
done
if [[ ! " en es fr it ru cs nl " == *" ${lang} "* ]]; then
    echo "run.sh: error: --lang must be one of en, es, fr, it, ru, cs, nl, not '${lang}'" >&2
    exit 2
elif [[ ! " all 1h 10min " == *" ${subset} "* ]]; then
    echo "run.sh: error: --subset must be one of all, 1h, 10min, not '${subset}'" >&2
    exit 2
elif [[ ${subset} == 1h && ${lang} != cs && ${lang} != nl ]]; then
    echo "run.sh: error: --subset 1h: there is less than an hour of ${lang}: give --subset all or 10min" >&2
    exit 2
fi

exec ./birq.sh \
    --train_set train_ssl \
    --valid_set valid_ssl \
    --asr_train_set "train_${lang}_${subset}" \
    --asr_valid_set "valid_${lang}" \
    --test_sets "test_${lang}" \
    --lang "${lang}_${subset}" \
    --ssl_config ../../../conf/train_birq_cpu.yaml \
    --asr_config ../../../conf/train_asr_ctc_cpu.yaml \
    --inference_config ../../../conf/decode_ctc_greedy.yaml \
    --token_type char \
    --transfer_layers 3 \
    --inference_asr_model valid.cer_ctc.best.pth \
    "${options[@]}"
