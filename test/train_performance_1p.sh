#!/usr/bin/env bash
# SST-2 on one device, the reference's performance run, two epochs:
#
#     bash test/train_performance_1p.sh --data_path=DIR
. "$(dirname "$0")/common.sh"

task=sst-2
batch_size=440
kind=perf
recipe=(
    --learning_rate 28e-5 --num_train_epochs 2 --logging_steps 80 --save_steps 80
    --fp16 --fp16_opt_level O2
)
launch "$@"
