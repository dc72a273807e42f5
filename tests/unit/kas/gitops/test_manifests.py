"""Sets of files: chosen, bounded, read."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kasbah.kas.gitops import manifests
from kasbah.kas.gitops.globs import Glob
from kasbah.kas.gitops.manifests import Manifests, Place
from kasbah.kas.gitops.request import Wanted
from kasbah.kas.gitops.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import HubNotFoundError
from kasbah.wire.rpc import RpcError, StatusCode
from tests.doubles.fake_hub import COMMIT, SECRET, FakeHub, json_answer

PLACE = Place(31, COMMIT)
SMALL = Settings(max_manifest_file_size=4, max_total_manifest_file_size=6, max_number_of_files=2)


@dataclass
class Repository:
    """A few files, and what is read of them."""

    hub: FakeHub = field(
        default_factory=lambda: FakeHub(
            files={
                "a/one.yaml": b"1",
                "a/b/two.yaml": b"22",
                "a/b/README": b"r",
                "a/.hidden/x.yaml": b"h",
                "c/three.json": b"333",
            },
            links={"a/link.yaml": b"one.yaml"},
        )
    )
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.manifests = Manifests(HubClient(self.hub.client(), SECRET), self.settings)

    async def choose(self, *globs: str, files: tuple[str, ...] = ()) -> list[str]:
        wanted = Wanted("ops/fleet", "", None, tuple(Glob.parse(glob) for glob in globs), files)
        return await self.manifests.choose(PLACE, wanted)

    async def read(self, *paths: str) -> dict[str, bytes]:
        return dict([file async for file in self.manifests.read(PLACE, paths)])

    def listings(self) -> list[tuple[str, str | None]]:
        asked = [request.url.params for request in self.hub.requests if request.url.path.endswith("_tree")]
        return [(query["path"], query.get("depth")) for query in asked]


@pytest.mark.asyncio
async def test_globs_come_in_their_order_and_files_after_them():
    repository = Repository()
    chosen = await repository.choose(
        "c/*.json", "a/**/*.yaml", files=("a/b/README", "a/one.yaml", "a/b/README")
    )
    assert chosen == ["c/three.json", "a/b/two.yaml", "a/one.yaml", "a/b/README"]


@pytest.mark.parametrize(
    ("globs", "listings"),
    [
        (["/**/*.yaml"], [("", None)]),
        (["*.yaml"], [("", "1")]),
        (["a/*.yaml", "c/*.json"], [("a", "1"), ("c", "1")]),
        (["a/b/*/d/*.yaml", "a/*.md"], [("a", "4")]),
        (["a/*.yaml", "a/b/**/*.json", "ab/*.yaml"], [("a", None), ("ab", "1")]),
        (["a/b/*.yaml", "x.yaml"], [("", "3")]),
    ],
)
@pytest.mark.asyncio
async def test_no_more_is_listed_than_the_globs_reach(globs, listings):
    repository = Repository()
    await repository.choose(*globs)
    assert repository.listings() == listings


@pytest.mark.asyncio
async def test_without_globs_nothing_is_listed():
    repository = Repository()
    assert await repository.choose(files=("x", "y")) == ["x", "y"]
    assert repository.hub.requests == []


@pytest.mark.parametrize(
    ("globs", "files", "problem"),
    [
        (["a/*.yaml", "**/one.*"], (), "'a/one.yaml' is meant by more than one glob"),
        (["a/**/*.yaml", "c/*"], (), "over 2 files"),
        ([], ("1", "2", "3"), "over 2 files"),
        (["big"], (), "'big' is over 4 bytes"),
        (["four", "c/*"], (), "over 6 bytes together"),
    ],
)
@pytest.mark.asyncio
async def test_a_set_over_its_bounds_is_refused_before_it_is_read(globs, files, problem):
    repository = Repository(settings=SMALL)
    repository.hub.files |= {"big": b"12345", "four": b"1234"}
    with pytest.raises(RpcError, match=problem) as caught:
        await repository.choose(*globs, files=files)
    assert caught.value.code == StatusCode.FAILED_PRECONDITION


@pytest.mark.asyncio
async def test_a_repository_that_is_too_large_to_list_is_refused(monkeypatch):
    repository = Repository()
    repository.hub.answer_with("repository_tree", json_answer(413, {"message": "more than 10000"}))
    with pytest.raises(RpcError, match="the repository: more than 10000") as caught:
        await repository.choose("**")
    assert caught.value.code == StatusCode.FAILED_PRECONDITION
    monkeypatch.setattr(manifests, "_MOST_COMPARISONS", 5)
    with pytest.raises(RpcError, match="too many files for so many globs"):
        await repository.choose("**", "x")


@pytest.mark.asyncio
async def test_files_are_read_one_after_the_other():
    repository = Repository()
    assert await repository.read("c/three.json", "a/one.yaml") == {"c/three.json": b"333", "a/one.yaml": b"1"}


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        (["absent"], "'absent' is not found"),
        (["a/link.yaml"], "'a/link.yaml' is not a regular file"),
        (["big"], "'big' is over 4 bytes"),
        (["c/three.json", "four"], "over 6 bytes together"),
    ],
)
@pytest.mark.asyncio
async def test_a_file_that_cannot_be_had_is_named(paths, problem):
    repository = Repository(settings=SMALL)
    repository.hub.files |= {"big": b"12345", "four": b"1234"}
    with pytest.raises(RpcError, match=problem) as caught:
        await repository.read(*paths)
    assert caught.value.code == StatusCode.FAILED_PRECONDITION


@pytest.mark.asyncio
async def test_a_commit_that_is_gone_is_not_an_empty_set():
    repository = Repository()
    repository.hub.commit_id, repository.hub.refs = "b" * 40, {}
    with pytest.raises(HubNotFoundError):
        await repository.choose("**")
