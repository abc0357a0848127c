"""Upload a folder to a repository of the Hugging Face Hub; what the hub refuses is said in a sentence."""

from __future__ import annotations

from pathlib import Path

from harness.errors import ConfigError, Problem

TOKEN = "set HF_TOKEN to a token that may write there"


def check(repository: str) -> None:
    """Raise ConfigError if a name is none that a repository can have, or if there is nothing to log in with."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError:
        what = f"{repository!r} is no name that a repository can have"
        raise ConfigError(Problem("--push", what, "write OWNER/NAME")) from None
    if repository.count("/") != 1:
        raise ConfigError(Problem("--push", f"{repository!r} names no owner", "write OWNER/NAME"))
    if constants.HF_HUB_OFFLINE:
        raise ConfigError(Problem("--push", "HF_HUB_OFFLINE is set, so nothing is uploaded", "unset it"))
    if not get_token():
        raise ConfigError(Problem("--push", "there is no token for the hub", "set HF_TOKEN"))


def push(folder: Path, repository: str, message: str, public: bool = False) -> str:
    """Upload the files of a folder, and return the address of the repository.

    It is made if there is none: private, unless it is to be `public`. Files of an older export with other names stay.
    Raises ConfigError if the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        made = api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except Exception as error:
        # Its client raises errors of the libraries below it, of many kinds.
        raise ConfigError(_refusal(error, repository)) from error
    return str(made)


def _refusal(error: Exception, repository: str) -> Problem:
    from huggingface_hub.errors import HfHubHTTPError

    where = f"--push {repository}"
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        return Problem(where, f"the hub refuses the token (status {status})", TOKEN)
    if status == 404:
        return Problem(where, "the hub does not show this repository", TOKEN)
    if isinstance(error, HfHubHTTPError) and status is not None:
        return Problem(where, f"the hub answered with status {status}", "see what it says, or try again later")
    lines = str(error).strip().splitlines()
    why = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return Problem(where, f"the upload did not succeed ({why[:160]})", "run it again: what is there is not sent twice")
