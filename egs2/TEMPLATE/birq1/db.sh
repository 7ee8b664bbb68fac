#!/usr/bin/env bash
# Where corpora are on this machine. Sourced by local/data.sh. A recipe downloads what it needs when its entry is
# "downloads", a folder beside the recipe's run.sh.

export MINI_AN4=downloads
export DEBVOX=downloads
