"""Pages within bounds, and the headers that tell a client where it is."""

from __future__ import annotations

import pytest

from kasbah.hub.rest.pages import Page, Paginated, page_of
from kasbah.hub.rest.parameters import ParametersError
from tests.doubles.rest_call import make_call


@pytest.mark.parametrize(
    ("asked", "page"),
    [
        ((1, 20), (1, 20)),
        ((3, 100), (3, 100)),
        ((3, 101), (3, 100)),
        ((0, 20), (1, 20)),
        ((-5, -5), (1, 20)),
    ],
)
def test_a_page_is_brought_within_bounds(asked, page):
    found = Page.of(Paginated(page=asked[0], per_page=asked[1]))
    assert (found.number, found.size) == page


def test_a_page_of_nothing_is_refused():
    with pytest.raises(ParametersError, match="per_page has a value not allowed"):
        Page.of(Paginated(per_page=0))


def test_the_rows_before_a_page_are_skipped_but_not_without_end():
    assert Page(number=3, size=20).offset == 40
    assert Page(number=10**18, size=100).offset == 2**31


def headers_of(number: int, total: int, **values: object) -> dict[str, str]:
    return dict(page_of(make_call(values=values), Page(number=number, size=2), [], total).headers)


def test_in_the_middle_there_are_both_neighbours():
    headers = headers_of(2, 5)
    assert (headers["X-Prev-Page"], headers["X-Next-Page"], headers["X-Total-Pages"]) == ("1", "3", "3")
    relations = [part.rpartition("rel=")[2] for part in headers["Link"].split(", ")]
    assert relations == ['"prev"', '"next"', '"first"', '"last"']


def test_an_empty_list_has_one_page():
    headers = headers_of(1, 0)
    assert [headers[name] for name in ("X-Total", "X-Total-Pages", "X-Next-Page", "X-Prev-Page")] == [
        "0",
        "1",
        "",
        "",
    ]


def test_beyond_the_end_there_is_nothing_to_go_back_to():
    assert (headers_of(9, 2)["X-Next-Page"], headers_of(9, 2)["X-Prev-Page"]) == ("", "")


def test_many_rows_are_not_counted_aloud():
    headers = headers_of(1, 10_001)
    assert "X-Total" not in headers
    assert 'rel="last"' not in headers["Link"]


def test_links_repeat_what_was_asked_sorted_and_encoded():
    link = headers_of(1, 1, id="a/b", search="x y&z", flag=True, scopes=["p", "q"])["Link"].split(";")[0]
    assert link == (
        "<https://hub.example/api/v4/x?flag=true&id=a%2Fb&page=1&per_page=2"
        "&scopes%5B%5D=p&scopes%5B%5D=q&search=x+y%26z>"
    )
