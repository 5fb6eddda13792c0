#!/usr/bin/env bash
# SST-2 on eight devices, the reference's performance run, two epochs:
#
#     bash test/train_performance_8p.sh --data_path=DIR
. "$(dirname "$0")/common.sh"

task=sst-2
batch_size=440
nproc=8
kind=perf
recipe=(
    --learning_rate 180e-5 --num_train_epochs 2 --logging_steps 10 --save_steps 10
    --fp16 --fp16_opt_level O2
)
launch "$@"
