from __future__ import annotations

import json
import zlib

import pytest

from bench.pods import pod_list


@pytest.mark.parametrize("size", [100, 2048, 100_000])
def test_a_list_is_json_of_exactly_the_size_asked_for(size: int):
    text = pod_list(size)
    assert len(text) == size
    assert json.loads(text)["kind"] == "PodList"


def test_no_two_pods_are_the_same():
    items = json.loads(pod_list(100_000))["items"]
    assert len({item["metadata"]["uid"] for item in items}) == len(items) > 50


def test_it_is_neither_empty_paper_nor_noise():
    assert 3 < 100_000 / len(zlib.compress(pod_list(100_000))) < 10
