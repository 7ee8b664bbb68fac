#!/usr/bin/env bash
# Data preparation of DebVox: gets the Debian packages, verifies and unpacks them, and writes data/<set>.
set -euo pipefail

. ./path.sh
. ./db.sh

datadir=data                # Where the sets go.
downloads=downloads         # Keeps the packages and what they hold.
mirror=                     # Folder that holds the .deb files already; nothing is downloaded then.
langs="en es fr it ru cs nl" # Languages to prepare, separated by spaces.
. utils/parse_options.sh

if [[ -z ${mirror} && ${DEBVOX} != downloads ]]; then
    mirror=${DEBVOX}
fi
read -ra languages <<< "${langs}"
python3 -m espnet2_birq.bin.birq_debvox --data_dir "${datadir}" --downloads "${downloads}" \
    ${mirror:+--mirror "${mirror}"} --langs "${languages[@]}"
