#!/usr/bin/env bash
# Data preparation of mini_an4: the eight recordings inside the ESPnet package become data/{train_nodev,train_dev,test}.
set -euo pipefail

. ./path.sh
. ./db.sh

datadir=data                # Where the sets go.
downloads=downloads         # Gets the unpacked archive.
. utils/parse_options.sh

archive=
if [[ ${MINI_AN4} != downloads ]]; then
    archive=${MINI_AN4}/downloads.tar.gz
fi
python3 -m espnet2_birq.bin.birq_mini_an4 --data_dir "${datadir}" --downloads "${downloads}" \
    ${archive:+--archive "${archive}"}
