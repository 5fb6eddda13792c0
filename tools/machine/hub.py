"""Models that are named as on the Hugging Face hub, brought onto this machine by its own library.

The library honours HF_HOME (where what was fetched is kept), HF_TOKEN, HF_HUB_OFFLINE and HF_ENDPOINT,
shows the progress and goes on with a download that was cut off.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.file_names import (
    CONFIG_NAME,
    INDEX_NAMES,
    TOKENIZER_CONFIG,
    VOCABULARY_NAMES,
    WEIGHTS_NAMES,
)
from model.files import writing
from tools.cli.errors import UsageError, first_line

logger = logging.getLogger(__name__)

CONFIG_FILES = (CONFIG_NAME,)
VOCABULARY_FILES = (CONFIG_NAME, *VOCABULARY_NAMES, TOKENIZER_CONFIG)
_SHARDS = ("model-*-of-*.safetensors", "pytorch_model-*-of-*.bin")
# Of each model the first of these that it has.
_WEIGHTS = tuple(zip(WEIGHTS_NAMES, INDEX_NAMES, _SHARDS, strict=True))
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# The published models may be named without their owner, as on the hub.
_PUBLISHED = re.compile(r"albert-(base|large|xlarge|xxlarge)-v[12]")
_OWNER = "albert"
# Folders of this project, which people type from memory, and mistype.
_OWN_FOLDERS = ("outputs", "prev_trained_model", "dataset", "test")


def hub_name(named: Path) -> str | None:
    """Return the name on the hub that ``named`` is, ``owner/name``; None where it is a folder's path.

    What is there is a folder, and so is what would be in a folder that is there.
    """
    text = named.as_posix()
    if os.path.lexists(named) or (named.parent != Path() and named.parent.exists()):
        return None
    if _PUBLISHED.fullmatch(text):
        return f"{_OWNER}/{text}"
    is_name = _NAME.fullmatch(text) and named.parts[0] not in _OWN_FOLDERS
    return text if is_name else None


def local_model(
    named: Path,
    flag: str,
    files: Sequence[str] = (),
    revision: str | None = None,
    cache_dir: str | None = None,
) -> Path:
    """Return the folder of a model: ``named`` itself, or where its files are that came from the hub.

    Args:
        named: what the user gave with ``flag``.
        files: which are wanted; without, all that a model needs, safetensors if it has them.
        revision: of the hub's model: a branch, a tag or a commit.
        cache_dir: where the files are kept; without, where the hub's library keeps them.

    Raises:
        UsageError: the library is not installed; or there is no such model, or it is not for everybody, or
            it is not here and HF_HUB_OFFLINE is set.
        ConnectionError: the hub cannot be reached, or fails.
        DiskError: the disk is full.
    """
    name = hub_name(named)
    if name is None:
        return named
    _open_library(f"{flag} {named}")
    logger.info("%s %s: %s of the Hugging Face hub", flag, named, name)
    with _said(f"{flag} {named}", name, revision, cache_dir):
        if files:
            return _fetch(name, files, revision, cache_dir)
        for weights in _WEIGHTS:
            folder = _fetch(name, (*VOCABULARY_FILES, *weights), revision, cache_dir)
            if any((folder / entry).exists() for entry in weights[:2]):
                break
    logger.info("its files are in %s", folder)
    return folder


def _open_library(given: str) -> None:
    """Import the hub's library, and have it tell a terminal alone of its progress, and no log of requests.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import huggingface_hub.utils  # It takes long.
    except ModuleNotFoundError:
        raise UsageError(
            f"{given}: there is no such folder, and a model of the Hugging Face hub is fetched with the "
            f"package huggingface_hub: {sys.executable} -m pip install huggingface_hub; or python -m "
            "tools.download albert_base_v2 gets that one without it"
        ) from None
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _fetch(name: str, files: Sequence[str], revision: str | None, cache_dir: str | None) -> Path:
    from huggingface_hub import constants, snapshot_download

    found = snapshot_download(
        name,
        allow_patterns=list(files),
        revision=revision,
        cache_dir=cache_dir,
        endpoint=os.environ.get("HF_ENDPOINT"),
        local_files_only=constants.HF_HUB_OFFLINE,
    )
    return Path(found)


@contextmanager
def _said(given: str, name: str, revision: str | None, cache_dir: str | None) -> Iterator[None]:
    """Say what goes wrong in the block in a line; see :func:`local_model`."""
    from huggingface_hub import constants, errors

    hub = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    cache = cache_dir or constants.HF_HUB_CACHE
    try:
        with writing(Path(cache)):
            yield
    except errors.GatedRepoError as error:
        raise UsageError(
            f"{given}: its owners say who gets it: ask for it at {hub}/{name}, and set HF_TOKEN to your "
            "token"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"{given}: there is no such folder, and {hub} has no model {name} for everybody: correct the "
            "name, or set HF_TOKEN for a private one"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(
            f"--model_revision {revision}: {name} has no such branch, tag or commit"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if constants.HF_HUB_OFFLINE:
            raise UsageError(
                f"{given}: {cache} does not hold {name}, and HF_HUB_OFFLINE is set: unset it, or name a "
                "folder that has the model"
            ) from error
        raise _unreachable(given, hub, error.__cause__ or error) from error
    except errors.HFValidationError as error:
        raise UsageError(f"{given}: there is no such folder, nor such a name on the hub") from error
    except (errors.HfHubHTTPError, ConnectionError, TimeoutError) as error:
        raise _unreachable(given, hub, error) from error


def _unreachable(given: str, hub: str, error: BaseException) -> ConnectionError:
    return ConnectionError(
        f"{given}: {hub} cannot be reached, or fails ({first_line(error)}): try again, name a mirror with "
        "HF_ENDPOINT, or name a folder that has the model"
    )
