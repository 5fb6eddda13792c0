#!/usr/bin/env bash
# Score on eight devices what train_full_8p.sh left (or another folder: --output_dir=DIR):
#
#     bash test/train_eval_8p.sh --data_path=DIR
. "$(dirname "$0")/common.sh"

task=sst-2
batch_size=440
nproc=8
kind='eval'
recipe=()

prepare() {
    [ -e "$output_dir/config.json" ] ||
        fail 2 "there is no trained model in $output_dir: run test/train_full_8p.sh first"
}
launch "$@"
