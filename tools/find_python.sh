#!/usr/bin/env bash
# Print the path of a Python that the package supports (>=3.12,<3.14); exit 1 when there is none.
#
# Every candidate is asked for its version, because a name proves nothing: pyenv's shims exist for versions that are
# not switched on, and fail when called. With --version-only a Python without `ensurepip` (Debian's, before
# python3-venv is installed) counts too.
set -euo pipefail

need='import sys, venv, ensurepip; sys.exit(not (3, 12) <= sys.version_info < (3, 14))'
if [ "${1:-}" = --version-only ]; then
    need='import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 14))'
fi

candidates() {
    local name
    for name in python3.12 python3.13 python3 python; do
        type -aP "${name}" || true
    done
    local pyenv_root=${PYENV_ROOT:-${HOME:-/root}/.pyenv}
    local uv_pythons=${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/uv/python}
    local path
    for path in "${pyenv_root}"/versions/3.1[23]*/bin/python3 "${uv_pythons}"/*/bin/python3 /opt/python*/bin/python3; do
        [ ! -x "${path}" ] || printf '%s\n' "${path}"
    done
}

while IFS= read -r candidate; do
    if "${candidate}" -c "${need}" >/dev/null 2>&1 </dev/null; then
        printf '%s\n' "${candidate}"
        exit 0
    fi
done < <(candidates)
exit 1
