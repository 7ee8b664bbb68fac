#!/usr/bin/env bash
# mini_an4: the eight utterances inside the ESPnet package, all stages on a processor in a few minutes. A smoke test.
#     ./run.sh [--stage N] [--stop_stage N] [any option of birq.sh; ./run.sh --help lists them]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec ./birq.sh \
    --train_set train_nodev \
    --valid_set train_dev \
    --test_sets "train_dev test" \
    --lang en \
    --ssl_config conf/train_ssl_birq.yaml \
    --asr_config conf/train_asr_ctc.yaml \
    --inference_config ../../../conf/decode_ctc_greedy.yaml \
    --token_type char \
    --nj 2 \
    "$@"
