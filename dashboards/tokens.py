"""The tokens of a page: one for those who look, one for those who control."""

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from streamproc.errors import ConfigError, nearest, one_line

Role = Literal["viewer", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)

#: Characters of a token at least: fewer can be guessed.
SHORTEST = 20
#: Characters of a file at most; permissions that nobody but owner and group may have.
_LONGEST, _OTHERS = 4096, 0o007

_TEXT = """\
# Tokens of streamproc's dashboard: who knows one may look (viewer), or also pause,
# stop and set (operator). Other tokens end all sessions once the dashboard begins anew.
viewer: {viewer}
operator: {operator}
"""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What viewers and operators show; None where nobody has the role."""

    viewer: str | None = None
    operator: str | None = None

    def role(self, given: str) -> Role | None:
        """Return the role that a token gives; takes as long for a wrong one."""
        found: Role | None = None
        for role in ROLES:
            token = getattr(self, role) or ""
            same = hmac.compare_digest(given.encode(errors="replace"), token.encode())
            found = role if same and token else found
        return found

    @property
    def key(self) -> str:
        """What sessions are signed with: another one for other tokens."""
        known = f"{self.viewer}\n{self.operator}".encode()
        return hashlib.sha256(b"streamproc's sessions\n" + known).hexdigest()


def tokens(path: Path) -> Tokens:
    """Return the tokens in a file; one that is not there is made, for its owner alone.

    Each line is ``viewer: TOKEN`` or ``operator: TOKEN``; lines that begin with ``#``
    are not read. Windows keeps files of a user's folder from other users by itself.

    Raises
    ------
    ConfigError
        The file cannot be read or made, others may read it, or it is not of that form.
    """
    try:
        # nobody else may read it, not even for the moment before a chmod
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _parsed(path, _read(path))
    except OSError as error:
        raise ConfigError(
            f"cannot make token file {path}: {one_line(error)}"
        ) from error
    made = Tokens(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(_TEXT.format(viewer=made.viewer, operator=made.operator))
    return made


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if os.name == "posix" and mode & _OTHERS:
                raise ConfigError(
                    f"token file {path} is open to everybody on this machine (mode "
                    f"{mode:o}); close it by: chmod 600 {path}"
                )
            return file.read(_LONGEST)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read token file {path}: {one_line(error)}"
        ) from error


def _parsed(path: Path, text: str) -> Tokens:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, _, token = (part.strip() for part in line.partition(":"))
        if not name or name.startswith("#"):
            continue
        where = f"token file {path}, line {number}"
        if name not in ROLES:
            raise ConfigError(
                f"{where}: a line is 'viewer: TOKEN' or 'operator: TOKEN'"
                + nearest(name, ROLES)
            )
        if len(token) < SHORTEST or not (token.isascii() and token.isprintable()):
            raise ConfigError(
                f"{where}: a token has {SHORTEST} or more printable ASCII characters"
            )
        if name in found or token in found.values():
            raise ConfigError(f"{where}: each role has one token, and its own")
        found[name] = token
    if not found:
        raise ConfigError(
            f"token file {path} has no token; delete it, and a new one is made"
        )
    return Tokens(**found)
