#!/usr/bin/env bash
# Running one step of a stage: at most once for the same options and inputs, with a log, a clock and a lock.
# Sourced by birq.sh.
# shellcheck disable=SC2154  # python, dry_run and stage_now are birq.sh's

log() { # MESSAGE
    echo "$(date '+%Y-%m-%dT%H:%M:%S') ($(basename "$0")) $*"
}

die() { # MESSAGE
    echo "$(basename "$0"): error: $*" >&2
    exit 1
}

duration() { # SECONDS: prints them for people
    if (($1 < 120)); then
        echo "$1 s"
    else
        echo "$(($1 / 60)) min $(($1 % 60)) s"
    fi
}

birq_done() {
    "${python}" -m espnet2_birq.bin.birq_done "$@"
}

# Runs a command that ends when this script ends, even when this script is killed outright.
run_guarded() { # LOG COMMAND...
    local child reporter status=0
    setpriv --pdeathsig TERM utils/report_progress.sh "$1" "($(basename "$0")) stage ${stage_now}" {lock}>&- &
    reporter=$!
    setpriv --pdeathsig TERM "${@:2}" &
    child=$!
    trap 'kill "${child}" "${reporter}" 2> /dev/null || true; wait "${child}" || true; exit 130' INT TERM
    wait "${child}" || status=$?
    trap - INT TERM
    kill "${reporter}"
    wait "${reporter}" 2> /dev/null || true
    return "${status}"
}

# step WHAT LOG [--option KEY=VALUE] [--input F] [--scp F] [--output F]... -- COMMAND...
# Runs COMMAND unless it has run before with these options and inputs and the outputs are still there.
step() {
    local what=$1 logfile=$2 status=0 key reason lock start size
    local -a depends=(--stage "${stage_now}")
    shift 2
    while [[ $1 != -- ]]; do
        depends+=("$1")
        shift
    done
    shift
    if [[ ${dry_run} == true ]]; then
        echo "stage ${stage_now}: ${what} (log: ${logfile})"
        printf '    %q' "$1"
        printf ' %q' "${@:2}"
        printf '\n'
        return
    fi

    mkdir -p .done/locks "$(dirname "${logfile}")"
    reason=$(mktemp .done/.reason.XXXXXX)
    key=$(birq_done begin "${depends[@]}" 2> "${reason}") || status=$?
    if ((status == 3)); then
        rm -f "${reason}"
        log "stage ${stage_now}: ${what}: done before, nothing to do"
        return
    elif ((status != 0)); then
        cat "${reason}" >&2
        rm -f "${reason}"
        exit 1
    fi
    if [[ -s ${reason} ]]; then
        log "stage ${stage_now}: ${what}: again, because $(cat "${reason}")"
    fi
    rm -f "${reason}"

    # Held by the command's children too, so a run that outlives a killed birq.sh is noticed instead of mixed with.
    exec {lock}>> ".done/locks/${stage_now}.$(cksum <<< "${logfile}" | cut -d ' ' -f 1)"
    flock --nonblock "${lock}" || die "stage ${stage_now} (${what}) is still being run by another process: wait, or end it"

    log "stage ${stage_now}: ${what} (log: ${logfile})"
    start=${SECONDS}
    size=$(stat -c %s "${logfile}" 2> /dev/null || echo 0)
    run_guarded "${logfile}" "$@" || status=$?
    if ((status == 9)); then # it has said in one line why it refuses
        exit 1
    elif ((status != 0)); then
        if [[ -f ${logfile} && ${status} != 8 ]]; then # 8: the lines that matter were shown
            echo "---- last lines of ${logfile} ----" >&2
            tail -n 15 "${logfile}" >&2
            echo "----" >&2
        fi
        die "stage ${stage_now} (${what}) failed with status ${status} after $(duration $((SECONDS - start))): see ${logfile}"
    fi
    birq_done end "${depends[@]}" --key "${key}" || exit 1
    exec {lock}>&-
    if [[ -f ${logfile} ]]; then
        tail -c "+$((size + 1))" "${logfile}" | grep -E '^birq_[a-z_0-9]+: warning:' | head -n 5 >&2 || true
    fi
    log "stage ${stage_now}: ${what}: done in $(duration $((SECONDS - start)))"
}
