"""The page that a run leaves: the last thing that it does, and nothing that it could fail by."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callback.heartbeat import still
from tools.cli.errors import error_line
from tools.machine.runtime import Runtime
from tools.results.report_page import write_report_page
from tools.results.run_folder import PAGE_FILE, has_run

logger = logging.getLogger(__name__)


@contextmanager
def leaving_page(output_dir: Path, runtime: Runtime) -> Iterator[None]:
    """Have the main process leave the page of the run in ``output_dir`` when the block ends well."""
    yield
    if runtime.is_main and has_run(output_dir):
        leave_page(output_dir)


def leave_page(output_dir: Path) -> None:
    """Write the page of the run in ``output_dir``, and log where it is; a failure is a warning."""
    try:
        with still(f"writing {PAGE_FILE}"):
            page = write_report_page(output_dir)
    except Exception as error:  # The run is through, and its results are there.
        logger.warning("%s is not written: %s", PAGE_FILE, error_line(error))
    else:
        logger.info("report: %s", page)
