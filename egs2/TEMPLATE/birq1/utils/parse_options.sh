#!/usr/bin/env bash
# Options of the script that sources this file, taken from its own text: every line
#     name=default    # What it means.
# above the line `. utils/parse_options.sh` declares the option --name. A default of true or false makes a boolean, a
# number makes a number, and a help text that starts with {a|b} lists the only values. `## Title` lines head groups,
# and indented comments go on with the help text. Both `--name value` and `--name=value` are understood, --help prints
# the list, and anything else is refused in one line. The script's first comment is printed as its description.

# An option may be called anything in lower case, so what stands beside them here begins with an underscore.

_options_names=()
declare -A _options_help=() _options_default=() _options_title=()

_options_read() { # SCRIPT: fills the arrays from its text
    local _line _name='' _title=''
    while IFS= read -r _line; do
        if [[ ${_line} == '. '*parse_options.sh* ]]; then
            break
        elif [[ ${_line} =~ ^([a-z][a-z0-9_]*)=.*[[:space:]]'# '(.*)$ ]]; then
            _name=${BASH_REMATCH[1]}
            _options_names+=("${_name}")
            _options_help[${_name}]=${BASH_REMATCH[2]}
            _options_default[${_name}]=${!_name}
            _options_title[${_name}]=${_title}
            _title=
        elif [[ ${_line} =~ ^[[:space:]]+'# '(.*)$ && -n ${_name} ]]; then
            _options_help[${_name}]+=" ${BASH_REMATCH[1]}"
        elif [[ ${_line} =~ ^'## '(.*)$ ]]; then
            _title=${BASH_REMATCH[1]}
        fi
    done < "$1"
}

_options_usage() { # SCRIPT
    local name
    sed -n -e '1{/^#!/d}' -e '/^#/!q' -e 's/^# \{0,1\}//p' "$1"
    for name in "${_options_names[@]}"; do
        if [[ -n ${_options_title[${name}]} ]]; then
            printf '\n%s\n' "${_options_title[${name}]}"
        fi
        printf -- '  --%-24s %s (default: %s)\n' "${name}" "${_options_help[${name}]}" "${_options_default[${name}]:-none}"
    done
}

_options_distance() { # A B: prints the number of edits between two words
    local a=$1 b=$2 i j cost best
    local -a above row
    for ((j = 0; j <= ${#b}; j++)); do above[j]=${j}; done
    for ((i = 1; i <= ${#a}; i++)); do
        row=("${i}")
        for ((j = 1; j <= ${#b}; j++)); do
            cost=1
            [[ ${a:i-1:1} == "${b:j-1:1}" ]] && cost=0
            best=$((above[j - 1] + cost))
            ((above[j] + 1 < best)) && best=$((above[j] + 1))
            ((row[j - 1] + 1 < best)) && best=$((row[j - 1] + 1))
            row[j]=${best}
        done
        above=("${row[@]}")
    done
    echo "${above[${#b}]}"
}

_options_nearest() { # WORD: prints the option whose name is nearest
    local name distance best=1000 nearest=
    for name in "${_options_names[@]}"; do
        distance=$(_options_distance "$1" "${name}")
        if ((distance < best)); then
            best=${distance} nearest=${name}
        fi
    done
    echo "${nearest}"
}

_options_refuse() { # MESSAGE
    echo "$(basename "$0"): error: $1" >&2
    exit 2
}

_options_check() { # NAME VALUE: refuses a value that the option cannot have
    local help=${_options_help[$1]} default=${_options_default[$1]}
    if [[ ${help} =~ ^\{([^}]*)\} ]]; then
        [[ "|${BASH_REMATCH[1]}|" == *"|$2|"* ]] || _options_refuse "--$1 must be one of ${BASH_REMATCH[1]//|/, }, not '$2'"
    elif [[ ${default} == true || ${default} == false ]]; then
        [[ $2 == true || $2 == false ]] || _options_refuse "--$1 must be true or false, not '$2'"
    elif [[ ${default} =~ ^[0-9]+$ ]]; then
        [[ $2 =~ ^[0-9]+$ ]] || _options_refuse "--$1 must be a whole number, not '$2'"
    elif [[ ${default} =~ ^[0-9]*\.[0-9]+$ ]]; then
        [[ $2 =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)$ ]] || _options_refuse "--$1 must be a number, not '$2'"
    fi
}

_options_parse() { # ARGUMENTS of the script
    local _name _value
    while (($# > 0)); do
        case $1 in
            --help | -h)
                _options_usage "$0"
                exit 0
                ;;
            --*=*) _name=${1%%=*} _value=${1#*=} ;;
            --*) _name=$1 _value= ;;
            *) _options_refuse "unexpected argument '$1': options are given as --name value (see --help)" ;;
        esac
        _name=${_name#--}
        _name=${_name//-/_}
        if [[ -z ${_options_help[${_name}]+known} ]]; then
            _options_refuse "unknown option --${_name}: did you mean --$(_options_nearest "${_name}")? (--help lists all)"
        fi
        if [[ $1 != *=* ]]; then
            (($# > 1)) || _options_refuse "--${_name} needs a value"
            _value=$2
            shift
        fi
        shift
        _options_check "${_name}" "${_value}"
        declare -g "${_name}=${_value}"
    done
}

_options_read "$0"
_options_parse "$@"
