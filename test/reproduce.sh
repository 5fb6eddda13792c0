#!/usr/bin/env bash
# Run a row of README.md's tables of results, and say whether it comes to the same:
#
#     bash test/reproduce.sh ROW [--data_path=DIR] [--model_path=DIR]
#
# ROW is gpu1, gpu8, npu1 or npu8, of the published table, or demo. The last line is the answer: pass or
# fail, against the 95 % interval of the row's accuracy and its speed (tools/reproduce.py), or what it
# needs. Exit status: 0 pass, 1 fail, 2 wrong usage, 3 a device, data or weights are missing.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/test/setup.sh"

usage="bash test/reproduce.sh gpu1|gpu8|npu1|npu8|demo [--data_path=DIR] [--model_path=DIR]"
row=${1:-}
launcher=train_full_1p.sh
count=1
device=cpu
case $row in
gpu1 | gpu8) device=cuda ;;
npu1 | npu8) device=npu ;;
demo) launcher=train_demo_1p.sh ;;
-h | --help) echo "usage: $usage" && exit ;;
*) fail 2 "${row:-no row} is none of the table's: $usage" ;;
esac
if [[ $row = *8 ]]; then
    launcher=train_full_8p.sh
    count=8
fi
shift
for word in "$@"; do
    case $word in
    --data_path=?* | --model_path=?*) [ "$row" != demo ] || fail 2 "$word: the demonstration makes its own" ;;
    *) fail 2 "$word is no flag: $usage" ;;
    esac
done

needs_devices() { # name, files of theirs
    local found
    found=$(compgen -G "$2" | wc -l || true)
    [ "$found" -lt "$count" ] || return 0
    echo "$row: needs $1: this machine has $found, and the row takes $count"
    exit 3
}
case $device in
npu) needs_devices NPU "${ALBERT_TEST_ROOT-}/dev/davinci[0-9]*" ;;
cuda) needs_devices GPU "/dev/nvidia[0-9]*" ;;
esac
answers=$(any_python) || exit
"$answers" "$ROOT/tools/reproduce.py" "$row" "$@" || exit

output_dir=$ROOT/outputs/reproduce/$row
words=("--output_dir=$output_dir" "--device=$device" "$@")
[ "$row" = demo ] || words+=(-- --padding=max_length)
status=0
bash "$ROOT/test/$launcher" "${words[@]}" || status=$?
if [ $status -ne 0 ]; then
    echo "$row: fail: the run ended with status $status"
    [ $status -gt 2 ] || status=1
    exit $status
fi
if [ $device = npu ]; then use_npu_python; else
    # shellcheck disable=SC2119 # no other requirements than its own
    use_python
fi
exec "$PYTHON" "$ROOT/tools/reproduce.py" "$row" "$output_dir"
