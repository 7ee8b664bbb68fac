#!/usr/bin/env bash
# Cuts the lines of a file into N runs of nearly equal length, in order: split_lines.sh FILE N PREFIX SUFFIX
# leaves PREFIX1SUFFIX ... PREFIXnSUFFIX, none of them empty (so N must not exceed the number of lines).
set -euo pipefail

total=$(wc -l < "$1")
if (($2 > total)); then
    echo "split_lines.sh: error: $1: cannot cut ${total} lines into $2 parts" >&2
    exit 1
fi
awk -v total="${total}" -v parts="$2" -v prefix="$3" -v suffix="$4" '
    { print > (prefix (int((NR - 1) * parts / total) + 1) suffix) }' "$1"
