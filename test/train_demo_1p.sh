#!/usr/bin/env bash
# From a fresh clone to a trained classifier, with nothing but Python and PyPI:
#
#     bash test/train_demo_1p.sh
#
# Trains a small ALBERT from random weights on 8,070 film-review sentences, under a minute on two
# CPU cores once everything is installed. It shows that everything works; it is no substitute for albert_base_v2.
. "$(dirname "$0")/common.sh"

task=sst-2
batch_size=32
data_path=$ROOT/dataset/demo
model_path=$ROOT/prev_trained_model/albert_demo
output_dir=$ROOT/outputs/demo/SST-2
makes_data=yes
recipe=(--learning_rate 5e-3 --num_train_epochs 4 --logging_steps 50 --save_steps 0)

prepare() {
    echo "preparing the demonstration's data and model"
    "$PYTHON" "$ROOT/tools/prepare_demo.py" --data_dir "$data_dir" --model_dir "$model_path"
}
launch "$@"
