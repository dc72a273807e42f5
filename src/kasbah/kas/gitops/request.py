"""What an agent asks for: a project, a place in its history, and which files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kasbah.kas.gitops.globs import BadGlobError, Glob
from kasbah.kas.gitops.settings import Settings
from kasbah.kas.hub_client.records import Ref
from kasbah.wire.pb.gitlab.agent.gitops.rpc.rpc_pb2 import ObjectsToSynchronizeRequest
from kasbah.wire.rpc import RpcError, StatusCode

_MAX_CHARACTERS: Final = 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that makes sense.

    Attributes:
        project_path: the project's full path.
        commit_id: what the agent has; empty at the start.
        ref: where to look; None for the default branch.
        globs: patterns, in the order they were given.
        files: paths, in the order they were given.
    """

    project_path: str
    commit_id: str
    ref: Ref | None
    globs: tuple[Glob, ...]
    files: tuple[str, ...]


def wanted_of(request: ObjectsToSynchronizeRequest, settings: Settings) -> Wanted:
    """The request, understood.

    Raises:
        RpcError: INVALID_ARGUMENT: something is missing or too much; FAILED_PRECONDITION: a glob is none.
    """
    if not 1 <= len(request.paths) <= settings.max_number_of_paths:
        raise _invalid(f"paths must be 1 to {settings.max_number_of_paths}")
    if len(request.commit_id) > _MAX_CHARACTERS:
        raise _invalid("commit_id is too long")
    globs, files = [], []
    for path in request.paths:
        match path.WhichOneof("path"):
            case "glob":
                globs.append(_text(path.glob, "paths.glob"))
            case "file":
                files.append(_text(path.file, "paths.file"))
            case _:
                raise _invalid("paths must have a glob or a file")
    return Wanted(
        project_path=_text(request.project_id, "project_id"),
        commit_id=request.commit_id,
        ref=_ref(request),
        globs=tuple(_glob(text) for text in globs),
        files=tuple(file.removeprefix("/") for file in files),
    )


def _ref(request: ObjectsToSynchronizeRequest) -> Ref | None:
    if not request.HasField("ref"):
        return None
    match request.ref.WhichOneof("ref"):
        case "tag":
            return Ref("tag", _text(request.ref.tag, "ref.tag"))
        case "branch":
            return Ref("branch", _text(request.ref.branch, "ref.branch"))
        case "commit":
            return Ref("commit", _text(request.ref.commit, "ref.commit"))
    raise _invalid("ref must have a tag, a branch or a commit")


def _glob(text: str) -> Glob:
    try:
        return Glob.parse(text)
    except BadGlobError as error:
        raise RpcError(StatusCode.FAILED_PRECONDITION, str(error)) from error


def _text(value: str, name: str) -> str:
    if not 1 <= len(value) <= _MAX_CHARACTERS:
        raise _invalid(f"{name} must have 1 to {_MAX_CHARACTERS} characters")
    return value


def _invalid(problem: str) -> RpcError:
    return RpcError(StatusCode.INVALID_ARGUMENT, problem)
