"""The machine and the command line: device, precision, processes, flags, reports, downloads."""
