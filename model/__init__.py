"""ALBERT: configuration, network, tokenizer and checkpoints. Knows nothing of data or training."""
