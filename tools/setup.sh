#!/usr/bin/env bash
# Make .venv with the pinned versions of constraints.txt and the package itself, editable.
#
# Nothing happens when .venv is already what setup.cfg and constraints.txt ask for, so every make target starts here.
# PYTHON=/path/to/python3.12 chooses the interpreter. pip's own configuration (index, proxy, cache) is left alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras="train,test,hub"
free_gb_needed=8

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: error: %s\n' "$*" >&2
    exit 1
}

# What .venv was made from. The place is part of it, since a virtual environment cannot be moved.
wanted() { { pwd -P && echo "${extras}" && cat setup.cfg pyproject.toml constraints.txt; } | cksum; }

stamp=.venv/birq-setup
if [ -x .venv/bin/python ] && [ -f "${stamp}" ] && [ "$(cat "${stamp}")" = "$(wanted)" ]; then
    exit 0
fi

supported() { "$1" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 14))' >/dev/null 2>&1; }

# A uv that works: the one on PATH, or one of our own. Prints its path.
find_uv() {
    if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then
        command -v uv
        return
    fi
    if [ ! -x .venv-tools/bin/uv ]; then
        command -v python3 >/dev/null || fail "no Python here: install one, e.g. 'apt-get install python3 python3-venv'"
        python3 -c 'import venv, ensurepip' 2>/dev/null ||
            fail "$(command -v python3) cannot make virtual environments: 'apt-get install python3-venv'"
        { python3 -m venv .venv-tools && .venv-tools/bin/python -m pip install --quiet uv; } >&2 ||
            fail "pip could not install uv, which fetches Python 3.12 (see above): install Python 3.12 or 3.13 yourself"
    fi
    echo .venv-tools/bin/uv
}

choose_python() {
    local found uv
    if [ -n "${PYTHON:-}" ]; then
        supported "${PYTHON}" || fail "PYTHON=${PYTHON} is not a working Python >=3.12,<3.14"
        "${PYTHON}" -c 'import venv, ensurepip' 2>/dev/null ||
            fail "PYTHON=${PYTHON} cannot make virtual environments: 'apt-get install python3-venv'"
        echo "${PYTHON}"
        return
    fi
    if found=$(tools/find_python.sh); then
        echo "${found}"
        return
    fi
    if ! command -v uv >/dev/null && found=$(tools/find_python.sh --version-only); then
        fail "${found} cannot make virtual environments: 'apt-get install python3-venv'"
    fi
    uv=$(find_uv) || exit 1
    say "no Python >=3.12,<3.14 here, so uv fetches 3.12" >&2
    "${uv}" python install 3.12 >&2 ||
        fail "uv could not fetch Python 3.12 (see above): install Python 3.12 or 3.13, or name one with PYTHON="
    "${uv}" python find --managed-python 3.12
}

# A .venv made here stays: only the requirements changed, or the last set-up was cut short, and pip completes it.
if ! { supported .venv/bin/python && grep -qF "$(pwd -P)/.venv" .venv/bin/activate; } 2>/dev/null; then
    python=$(choose_python) || exit 1
    free_gb=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024 / 1024))
    [ "${free_gb}" -ge "${free_gb_needed}" ] ||
        fail "$(pwd) has ${free_gb} GB free, PyTorch and ESPnet need ${free_gb_needed} GB"
    say "$("${python}" --version) (${python})"
    "${python}" -m venv --clear .venv || fail "${python} could not make .venv: see above"
fi
.venv/bin/python -c 'import pip' 2>/dev/null || .venv/bin/python -m ensurepip >/dev/null ||
    fail ".venv has no pip: 'make clean', then run this again"

rm -f "${stamp}"
log=.venv/setup.log
say "installing ESPnet, PyTorch and the rest into .venv (6 GB, once; log: ${log})"
pip_install() {
    .venv/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt "$@" >>"${log}" 2>&1 ||
        fail "pip: $(grep -i error "${log}" | tail -n 1) (log: ${log}; the next run goes on from here)"
}
: >"${log}"
pip_install setuptools
pip_install --no-build-isolation --editable ".[${extras}]"
.venv/bin/python -c 'import espnet2, torch, torchaudio' || fail "the installed packages cannot be imported: see above"
wanted >"${stamp}"
say "done"
