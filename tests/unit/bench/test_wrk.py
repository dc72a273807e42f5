from __future__ import annotations

import pytest

from bench import wrk
from bench.errors import BenchError

PRINTED = """Running 2s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   432.10us  200.00us   5.00ms   90.00%
    Req/Sec    66.34k     3.00k   70.00k    70.00%
  Latency Distribution
     50%  414.00us
     75%  500.00us
     90%  800.00us
     99%    2.83ms
  132024 requests in 2.00s, 38.78MB read
  Non-2xx or 3xx responses: 7
Requests/sec:  66000.55
Transfer/sec:     19.39MB
"""


def test_a_round_holds_what_wrk_printed_in_one_unit_each():
    read = wrk.parse(PRINTED, cpu_s=1.32024)
    assert (read.requests_per_s, read.p50_ms, read.p99_ms) == (66000.55, pytest.approx(0.414), 2.83)
    assert read.bytes_per_s == pytest.approx(19.39 * 1024**2)
    assert read.cpu_s_per_1000 == pytest.approx(0.01)


def test_answers_that_are_no_success_are_counted():
    assert wrk.parse(PRINTED, cpu_s=0).errors == 7
    assert (
        wrk.parse(PRINTED + "  Socket errors: connect 1, read 2, write 0, timeout 3\n", cpu_s=0).errors == 13
    )


def test_output_of_another_shape_is_shown_and_not_guessed_at():
    with pytest.raises(BenchError, match="unable to connect"):
        wrk.parse("unable to connect", cpu_s=0)
