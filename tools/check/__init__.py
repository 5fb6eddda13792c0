"""What checks of a machine share, and the steps of tools/check_npu.py, which asks one with an NPU."""
