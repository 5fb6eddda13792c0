"""The steps of tools/check_npu.py: what a machine with an NPU is asked, one after the other."""
