#!/usr/bin/env bash
# Sourced, not run: sets $PYTHON to a Python that has what the project needs.
#
#   find_python                         installs nothing: it may lack all but Python itself, or be too old
#   any_python                          prints one that is recent enough to read flags with
#   use_python [requirements-file …]    requirements.txt, and those named
#   use_npu_python                      for an NPU: installs nothing; the first of all Pythons, those on the
#                                       PATH by their numbers too, that has torch_npu
#   source_npu_environment              env_npu.sh, unless that is done already
#   try_requirements module requirements-file what
#                                       that file's too, where they can be had; else "what" goes without
#
# In this order: the active environment (venv or conda), completed where something is missing; this
# project's .venv; the python3 on the PATH, if it already has everything (a container made for the
# purpose); a new .venv. torch_npu is never installed, and nothing beside it: what it needs must match
# the machine's CANN (docs/npu.md).

# shellcheck disable=SC2153 # Who sources this file has set ROOT.

# Streams that the caller has closed lead nowhere: else a program's first file would get their numbers.
{ : <&0; } 2>/dev/null || exec </dev/null
{ : >&1; } 2>/dev/null || exec >/dev/null
{ : >&2; } 2>/dev/null || exec 2>/dev/null

PYTHON=
python_is_everyones=no # Its packages are not this project's to add to.

fail() { # status, message: the one line with which a launcher ends
    echo "$(basename "$0"): error: ${*:2}" >&2
    exit "$1"
}

# Tests put a folder of theirs in the place of / where these scripts look for the machine.
has_npu() { compgen -G "${ALBERT_TEST_ROOT-}/dev/davinci[0-9]*" >/dev/null; }

has_gpu() { compgen -G '/dev/nvidia[0-9]*' >/dev/null || [ -e /dev/dxg ]; }

find_python() {
    if [ -n "${VIRTUAL_ENV:-}" ]; then
        PYTHON=$VIRTUAL_ENV/bin/python
    elif [ -n "${CONDA_PREFIX:-}" ]; then
        PYTHON=$CONDA_PREFIX/bin/python
    elif [ -x "$ROOT/.venv/bin/python" ]; then
        PYTHON=$ROOT/.venv/bin/python
    else
        PYTHON=$(command -v python3) || fail 1 "there is no python3: install Python 3.10 or later"
        python_is_everyones=yes
    fi
}

any_python() {
    local candidate candidates=()
    [ -n "${PYTHON:-}" ] || find_python
    # All of them are read: who lists them would complain of a reader that goes away.
    while IFS= read -r candidate; do
        candidates+=("$candidate")
    done < <(echo "$PYTHON" && pythons)
    for candidate in "${candidates[@]}"; do
        if is_recent "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    check_version
}

use_python() {
    local files=("$ROOT/requirements.txt" "${@/#/$ROOT/}") missing
    [ -n "${PYTHON:-}" ] || find_python
    check_version
    missing=$(missing_in "${files[@]}")
    if [ -n "$missing" ] && [ $python_is_everyones = yes ]; then
        make_venv "$PYTHON" "$ROOT/.venv"
        PYTHON=$ROOT/.venv/bin/python
        check_version
        missing=$(missing_in "${files[@]}")
    fi
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086 # one word a requirement
        install $missing
    fi
}

# On a machine with an NPU the environment that is active, or the .venv of a run on the CPU, need not be the
# one with torch_npu; a Python without it would compute on the CPU, or not at all.
use_npu_python() {
    local candidate candidates missing words
    mapfile -t candidates < <(pythons)
    for candidate in "${candidates[@]}"; do
        if is_recent "$candidate" && has_module "$candidate" torch_npu; then
            PYTHON=$candidate
            [ "$PYTHON" = "${candidates[0]}" ] || echo "using $PYTHON, which has torch_npu"
            missing=$(missing_in "$ROOT/requirements.txt")
            if [ -n "$missing" ]; then
                mapfile -t missing <<<"$missing"
                fail 1 "$PYTHON has torch_npu, but these are missing there or too old:" \
                    "$(listed "${missing[@]%%==*}"); docs/npu.md says how to install them beside it"
            fi
            return
        fi
    done
    words="an NPU is asked for"
    ! has_npu || words="this machine has an NPU"
    fail 1 "$words, but no Python from 3.10 on has torch_npu (looked in" \
        "$(listed "${candidates[@]}")): python3 -m pip install -r requirements.txt -r" \
        "requirements-npu.txt (docs/npu.md), or activate the environment that has it; launchers need" \
        "none with --device=cpu"
}

# Ascend's test platform has set the environment up already, and says so by this name.
source_npu_environment() {
    # shellcheck disable=SC1091
    [ "${etp_running_flag:-}" = true ] || . "$ROOT/test/env_npu.sh"
}

listed() {
    local words
    printf -v words '%s, ' "$@"
    echo "${words%, }"
}

# All Pythons that there are, in the order of their rank; two names of one in the same folder are one.
pythons() {
    local python folder
    {
        [ -z "${VIRTUAL_ENV:-}" ] || echo "$VIRTUAL_ENV/bin/python"
        [ -z "${CONDA_PREFIX:-}" ] || echo "$CONDA_PREFIX/bin/python"
        echo "$ROOT/.venv/bin/python"
        type -ap python3 python3.{10..14} || true
    } | while IFS= read -r python; do
        if [ -x "$python" ]; then
            folder=$(cd "$(dirname "$python")" && pwd -P)
            printf '%s\t%s\n' "$folder $(readlink -f "$python")" "$python"
        fi
    done | awk -F '\t' '!seen[$1]++ { print $2 }'
}

# Nothing is installed where Python has the module, by whatever name its package goes, and nothing that
# is installed is changed: what only some tests need must not break the environment for all others.
try_requirements() {
    local missing module=$1 file=$2 what=$3
    has_module "$PYTHON" "$module" && return
    missing=$(missing_in "$ROOT/$file")
    echo "installing $missing"
    # shellcheck disable=SC2086 # one word a requirement
    pip_install $missing -c <("$PYTHON" -m pip list --format=freeze --disable-pip-version-check) ||
        echo "$what will be skipped: pip could not install $missing: $PIP_REASON"
}

# The module is not imported: torch_npu breaks where CANN is missing, and who asks wants its own reason.
has_module() { # python, module
    "$1" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec(sys.argv[1]))' "$2"
}

missing_in() { "$PYTHON" "$ROOT/tools/cli/missing_requirements.py" "$ROOT/constraints.txt" "$@"; }

check_version() {
    [ -x "$PYTHON" ] || fail 1 "the active environment has no $PYTHON: deactivate it"
    is_recent "$PYTHON" ||
        fail 1 "$PYTHON is $("$PYTHON" --version 2>&1): this project needs Python 3.10 or later"
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

make_venv() { # python, folder, options of venv
    echo "making $2"
    if ! "$1" "$ROOT/tools/cli/at_work.py" "making it" venv "${@:3}" "$2" 2>/dev/null; then
        rm -rf "$2"
        fail 1 "$1 -m venv failed (on Debian and Ubuntu: apt-get install" \
            "python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv)"
    fi
}

install() { # pinned requirements
    echo "installing $* (some minutes at the first time; downloads of more than 1 MB are named)"
    local requirement
    for requirement; do
        case $requirement in
        torch==*)
            install_torch "$requirement"
            [ $# = 1 ] || echo "  the others"
            ;;
        esac
    done
    pip_install "$@" || fail 1 "pip could not install $*: $PIP_REASON"
}

# The CPU build of torch where there is no accelerator: a bare `torch==…` may mean a build with
# gigabytes of CUDA packages. So the CPU build is asked for by its name, first where pip is configured
# to look, then at its publisher's index. The size is that of torch 2.13.0 on PyPI, for x86_64.
install_torch() {
    local size="2.7 GB with CUDA's packages, if it is PyPI's"
    if [ "$(uname -s)" != Linux ]; then
        echo "installing $1, which is a CPU build here"
    elif has_gpu; then
        echo "installing the general $1 for this machine's GPU: $size"
    else
        echo "  $1, its CPU build"
        pip_install "$1+cpu" && return
        echo "  $1, its CPU build, from its publisher's index"
        pip_install "$1+cpu" --extra-index-url https://download.pytorch.org/whl/cpu && return
        echo "installing the general $1, $size, as pip found no CPU build: $PIP_REASON"
    fi
    pip_install "$1" || fail 1 "pip could not install $1: $PIP_REASON"
}

pip_install() { # arguments of `pip install`; where it fails, PIP_REASON says why in pip's words
    local status=0 how=(--retries 2)
    # pip would compile every module, which is half of its time. Python compiles those that are imported,
    # but each time anew where it may not write what comes of that.
    [ -n "${PYTHONDONTWRITEBYTECODE:-}" ] || how+=(--no-compile)
    {
        PIP_REASON=$("$PYTHON" "$ROOT/tools/cli/at_work.py" "looking for packages" \
            pip install "${how[@]}" "$@" 2>&1 >&3) ||
            status=$?
    } 3>&1
    return "$status"
}
