#!/usr/bin/env bash
# The demo: BiRQ pretraining on DebVox, then the same fine-tuning from it and from random weights, and both compared.
#     ./demo.sh [--lang L] [--subset S] [any option of birq.sh]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh

lang=en
subset=10min
for ((number = 1; number <= $#; number++)); do
    following=$((number + 1))
    case ${!number} in
        --lang=*) lang=${!number#*=} ;;
        --subset=*) subset=${!number#*=} ;;
        --lang) lang=${!following} ;;
        --subset) subset=${!following} ;;
    esac
done

tag=demo_${lang}_${subset}
./run.sh --stop_stage 12 --asr_tag "${tag}_birq" "$@"
./run.sh --stage 9 --stop_stage 12 --asr_tag "${tag}_scratch" --use_ssl false "$@"

echo
python3 -m espnet2_birq.bin.birq_results --set "test_${lang}" --csv "exp/demo_${lang}_${subset}.csv" \
    --compare "random weights=exp/asr_${tag}_scratch" "BiRQ pretraining=exp/asr_${tag}_birq"
echo "Where the interval of a change holds 0, this test set does not show a difference."
echo
echo "Figures: $(pwd -P)/exp/ssl_*/diagnostics and exp/{ssl,asr}_*/images; all error rates: exp/RESULTS.md."
echo "The demo took $((SECONDS / 60)) min $((SECONDS % 60)) s."
