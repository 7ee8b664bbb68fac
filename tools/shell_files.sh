#!/usr/bin/env bash
# Print the repository's shell files, one a line: *.sh and whatever has a shell's first line; links are left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard
else # an unpacked archive
    find . -type d \( -name '.venv*' -o -name .git -o -name data -o -name dump -o -name exp -o -name downloads \) \
        -prune -o -type f -print
fi | while IFS= read -r file; do
    [ -f "${file}" ] && [ ! -L "${file}" ] || continue
    if [[ ${file} == *.sh ]] || head -c 64 "${file}" | head -n 1 | LC_ALL=C grep -aqE '^#!.*[/ ](ba)?sh( |$)'; then
        printf '%s\n' "${file}"
    fi
done
