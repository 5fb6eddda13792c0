#!/usr/bin/env bash
# SST-2 on eight devices, the reference's full recipe:
#
#     bash test/train_full_8p.sh --data_path=DIR
. "$(dirname "$0")/common.sh"

task=sst-2
batch_size=440
nproc=8
recipe=(
    --learning_rate 180e-5 --num_train_epochs 7 --logging_steps 10 --save_steps 10
    --fp16 --fp16_opt_level O2
)
launch "$@"
