#!/usr/bin/env bash
# Says every minute how far a command has come, by the last line of its log: report_progress.sh LOG PREFIX
# Never ends by itself.
set -euo pipefail

exec {never}<> <(:) # nothing ever comes out of it: reading it with a time limit is a sleep without a process
while ! read -r -t 60 -u "${never}"; do
    if [[ -s $1 ]]; then
        echo "$(date '+%Y-%m-%dT%H:%M:%S') $2: $((SECONDS / 60)) min: $(tail -n 1 "$1" | tail -c 160)"
    fi
done
