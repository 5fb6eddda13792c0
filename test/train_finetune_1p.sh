#!/usr/bin/env bash
# STS-B on one device, the reference's recipe; the report's accuracy is the Pearson correlation:
#
#     bash test/train_finetune_1p.sh --data_path=DIR
. "$(dirname "$0")/common.sh"

task=sts-b
batch_size=20
recipe=(
    --learning_rate 1e-5 --num_train_epochs 1 --logging_steps 80 --save_steps 80
    --fp16 --fp16_opt_level O2
)
launch "$@"
