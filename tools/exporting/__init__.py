"""A trained model as a folder that others can use: its network as ONNX, its card, its checks."""
