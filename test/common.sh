#!/usr/bin/env bash
# What all launchers share; each of them is its recipe. A launcher sets
#
#   task           GLUE task: sst-2, sts-b
#   batch_size     examples per process
#   recipe         array: flags of run_classifier.py
#   nproc          processes, a device each (default: 1)
#   kind           acc, perf or eval: what the run is for, and the end of its report's name
#   data_path, model_path, output_dir
#                  where its user's flags of these names have another default than all launchers'
#   prepare        function, if anything is to be done before the run; finds $PYTHON, $data_dir,
#                  $model_path and $output_dir set
#   scores         the launcher that trains what this one scores, if it does
#   makes_data     yes: prepare makes the data
#
# and calls `launch "$@"`. Its user's flags, the same for every launcher, are in tools/launching/recipe.py and
# shown by --help. tools/launch.py checks them and runs the recipe; what is left for bash is the
# environment: that of the Ascend machine, and the Python that has what the project needs.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/test/setup.sh"

nproc=1
kind=acc
data_path=
model_path=
output_dir=
scores=
makes_data=no
recipe=()
device=auto
# shellcheck disable=SC2034 # It is for prepare.
data_dir=

launch() {
    local words settings answers
    # shellcheck disable=SC2154 # The launcher sets them.
    words=(--script "$0" --task "$task" --kind "$kind" --batch_size "$batch_size" --nproc "$nproc")
    [ -z "$data_path" ] || words+=(--data_path "$data_path")
    [ -z "$model_path" ] || words+=(--model_path "$model_path")
    [ -z "$output_dir" ] || words+=(--output_dir "$output_dir")
    [ -z "$scores" ] || words+=(--scores "$scores")
    [ "$makes_data" = no ] || words+=(--makes_data)
    words+=(-- ${recipe[@]+"${recipe[@]}"} -- "$@")

    # Wrong usage and --help are answered before anything is installed, by whichever Python there is.
    find_python
    answers=$(any_python) || exit
    settings=$("$answers" "$ROOT/tools/launch.py" recipe --only_check "${words[@]}") || exit
    case $settings in
    device=*) eval "$settings" ;;
    *) echo "$settings" && exit ;; # It is the help.
    esac
    if [ "$device" = npu ] || { [ "$device" = auto ] && has_npu; }; then
        use_npu_python
        source_npu_environment
    else
        # shellcheck disable=SC2119 # no other requirements than its own
        use_python
    fi
    if declare -F prepare >/dev/null; then
        prepare
    fi
    exec "$PYTHON" "$ROOT/tools/launch.py" recipe "${words[@]}"
}
