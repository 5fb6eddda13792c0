#!/usr/bin/env bash
# Score on eight devices what train_full_8p.sh left (or another folder: --output_dir=DIR):
#
#     bash test/train_eval_8p.sh --data_path=DIR
. "$(dirname "$0")/common.sh"

task=sst-2
batch_size=440
nproc=8
kind='eval'
scores=train_full_8p.sh
recipe=()
launch "$@"
