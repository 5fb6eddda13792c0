"""Numeric precisions: what --fp16, its levels, --bf16 and --amp_backend mean here."""
