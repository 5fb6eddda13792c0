#!/usr/bin/env bash
# What all launchers share; each of them is its recipe. A launcher sets
#
#   task           GLUE task: sst-2, sts-b
#   batch_size     examples per process
#   recipe         array: flags of run_classifier.py
#   nproc          processes, a device each (default: 1)
#   kind           acc, perf or eval: what the run is for, and the end of its report's name
#
# and calls `launch "$@"`. Flags of every launcher:
#
#   --data_path=DIR    holds SST-2/ and STS-B/, and may hold prev_trained_model/ (default: ./dataset)
#   --model_path=DIR   the ALBERT folder to start from
#   --output_dir=DIR   where the trained model goes, or is; training moves an earlier one to its previous/<n>
#   --device=NAME      npu, cuda or cpu (default: the first of these that is there)
#   --device_id=N      which of several (default: 0); names the log folder, test/output/N
#   --batch_size=N     examples per process (default: the recipe's)
#   --workers=N        processes that build batches
#   --nproc=N          processes on this machine, a device each (default: 8 for the _8p launchers, else 1)
#   --nnodes=N --node_rank=N --master_addr=HOST [--master_port=N]
#                      one launcher on each of N machines, numbered from 0; HOST is number 0
#   -- FLAGS           passed on to run_classifier.py
#
# Exit status: that of the training; 2 for wrong usage.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/test/setup.sh"

NETWORK=albert_ID0335_for_PyTorch
data_path=$ROOT/dataset
data_given=no
makes_data=no # the launcher's own preparation does
model_path=
output_dir=
device=auto
device_id=0
workers=0
nproc=1
nnodes=1
node_rank=0
master_addr=
master_port=29500
kind=acc
overwrite=(--overwrite_output_dir) # not where a run is resumed
passed_on=()

launch() {
    parse_flags "$@"
    find_folders
    if [ "$device" = npu ] || { [ "$device" = auto ] && has_npu; }; then
        . "$ROOT/test/env_npu.sh"
    fi
    # shellcheck disable=SC2119 # no other requirements than its own
    use_python
    cd "$ROOT"
    if declare -F prepare >/dev/null; then
        prepare # the launcher's own preparation
    fi
    open_log
    run_and_report
}

parse_flags() {
    local flag value
    while [ $# -gt 0 ]; do
        flag=$1
        shift
        case $flag in
        --)
            pass_on "$@"
            break
            ;;
        -h | --help)
            sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"
            sed -n '/^# and calls/,/^set/{s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" | tail -n +2
            exit 0
            ;;
        --*=*) value=${flag#*=} ;;
        --*)
            [ $# -gt 0 ] || fail 2 "$flag needs a value: $flag=…"
            value=$1
            shift
            ;;
        *) fail 2 "$flag is no flag of this launcher; see --help" ;;
        esac
        flag=${flag%%=*}
        case ${flag//-/_} in
        __data_path) data_path=$(absolute "$value") data_given=yes ;;
        __model_path) model_path=$(absolute "$value") ;;
        __output_dir) output_dir=$(absolute "$value") ;;
        __device) device=$value ;;
        __device_id) device_id=$(number "$flag" "$value") ;;
        __batch_size) batch_size=$(number "$flag" "$value") ;;
        __workers) workers=$(number "$flag" "$value") ;;
        __nproc) nproc=$(positive "$flag" "$value") ;;
        __nnodes) nnodes=$(positive "$flag" "$value") ;;
        __node_rank) node_rank=$(number "$flag" "$value") ;;
        __master_addr) master_addr=$value ;;
        __master_port) master_port=$(number "$flag" "$value") ;;
        *) fail 2 "$flag is no flag of this launcher; flags of run_classifier.py go after --" ;;
        esac
    done
    if [ "$nnodes" -gt 1 ] && [ -z "$master_addr" ]; then
        fail 2 "--nnodes=$nnodes needs --master_addr=HOST, the machine with --node_rank=0"
    fi
    [ "$node_rank" -lt "$nnodes" ] || fail 2 "--node_rank=$node_rank is not below --nnodes=$nnodes"
}

pass_on() { # flags of run_classifier.py
    local word
    for word; do
        word=${word%%=*}
        case ${word//-/_} in
        __batch_size | __device_id) fail 2 "give $word before the --: the report names it" ;;
        __resume) overwrite=() ;;
        esac
    done
    passed_on=("$@")
}

positive() { # flag, value
    [[ $2 =~ ^[1-9][0-9]*$ ]] || fail 2 "$1=$2: not a whole number above 0"
    echo "$2"
}

absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

number() { # flag, value
    [[ $2 =~ ^[0-9]+$ ]] || fail 2 "$1=$2: not a whole number"
    echo "$2"
}

find_folders() {
    local folder
    # shellcheck disable=SC2154 # the launcher sets it
    folder=$(tr '[:lower:]' '[:upper:]' <<<"$task") # sst-2 → SST-2, as GLUE names it
    data_dir=$data_path/$folder
    output_dir=${output_dir:-$ROOT/outputs/$folder}
    if [ $data_given = yes ] && [ $makes_data = no ] && [ ! -d "$data_dir" ]; then
        fail 2 "--data_path=$data_path: there is no folder $data_dir"
    fi
    if [ -z "$model_path" ]; then
        model_path=$data_path/prev_trained_model/albert_base_v2
        [ -d "$model_path" ] || model_path=$ROOT/prev_trained_model/albert_base_v2
    fi
}

# test/output/<device id>/ holds this run's log and report; the run before moves to its previous/<n>.
open_log() {
    log_dir=$ROOT/test/output/$device_id
    log=$log_dir/train_$device_id.log
    mkdir -p "$log_dir"
    if command -v flock >/dev/null; then
        exec 9>"$log_dir/.lock"
        flock -n 9 || fail 1 "another run writes to $log_dir: give --device_id another number"
    fi
    if [ -e "$log" ]; then
        local number=1
        while [ -e "$log_dir/previous/$number" ]; do
            number=$((number + 1))
        done
        mkdir -p "$log_dir/previous/$number"
        mv "$log_dir"/*.* "$log_dir/previous/$number/"
    fi
}

run_and_report() {
    # shellcheck disable=SC2154 # the launcher sets the recipe
    local flags=(
        --task_name "$task" --data_dir "$data_dir" --model_name_or_path "$model_path"
        --output_dir "$output_dir" --do_eval --do_lower_case --max_seq_length 128
        --batch_size "$batch_size" --device "$device" --workers "$workers"
        ${recipe[@]+"${recipe[@]}"}
    )
    if [ "$kind" != eval ]; then
        flags+=(
            --do_train ${overwrite[@]+"${overwrite[@]}"} --seed 42 --warmup_proportion 0.1
            --max_grad_norm 1.0 --adam_epsilon 1e-6 --weight_decay 0.0 --drop_last
        )
    fi
    local command=("$PYTHON" -u run_classifier.py "${flags[@]}" --device_id "$device_id")
    if [ $((nproc * nnodes)) -gt 1 ]; then
        command=(
            "$PYTHON" -u -m tools.launch --nproc "$nproc" --nnodes "$nnodes" --node_rank "$node_rank"
            --master_addr "$master_addr" --master_port "$master_port" --device "$device"
            --log_dir "$log_dir" -- run_classifier.py "${flags[@]}" --bind_cores
        )
    fi
    command+=(${passed_on[@]+"${passed_on[@]}"})
    local tee child status=0 began=$SECONDS
    # -p, where tee knows it: a reader of standard output that goes away does not cost the log.
    exec 3> >(if tee -p </dev/null >/dev/null 2>&1; then exec tee -i -p "$log"; else exec tee -i "$log"; fi)
    tee=$!
    "${command[@]}" >&3 2>&1 3>&- &
    child=$!
    # A background process of a script does not get Ctrl-C itself.
    trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not the process
        wait "$child" || status=$?
    done
    exec 3>&-
    wait "$tee" || true # the log is whole
    if [ $status -ne 0 ]; then
        fail $status "the run ended with status $status; its log is $log"
    fi
    if [ "$node_rank" -gt 0 ]; then
        echo "the report is on $master_addr, the machine with --node_rank=0"
        return
    fi
    "$PYTHON" -m tools.report --network "$NETWORK" --kind "$kind" --log "$log" \
        --batch_size "$batch_size" --processes $((nproc * nnodes)) --seconds $((SECONDS - began))
}
