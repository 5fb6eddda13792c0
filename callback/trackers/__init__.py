"""Where else a run's records go: TensorBoard, trackio, Weights & Biases, MLflow. Off unless asked for."""
