from __future__ import annotations

import json
from pathlib import Path

import pytest

from kasbah.agentk.doctor import program
from kasbah.wire.native_tunnel.engine import PING_AFTER_S


def run(*arguments: str, **environment: str) -> int:
    return program.run(arguments, environment, "laptop", "agentk")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program.logs, "configure", lambda *_: None)


@pytest.mark.parametrize(
    ("arguments", "hop", "fault"),
    [
        (["--kas-address=http://kas.example"], "kas.address", "address-unusable"),
        ([], "kas.address", "address-unusable"),
        (["--kas-address=wss://kas.example", "--kas-ca-cert-file=/nowhere"], "settings", "settings-unusable"),
    ],
)
def test_settings_that_cannot_be_used_are_the_first_hop(
    arguments: list[str], hop: str, fault: str, capsys: pytest.CaptureFixture[str]
):
    assert run("-o", "json", *arguments, AGENTK_TOKEN="glagent-very-secret") == 1
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert (check["name"], check["fault"]) == (hop, fault)


def test_a_proxy_that_cannot_be_used_is_told_without_its_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = tmp_path / "config"
    config.write_text(json.dumps({"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}]}))
    code = run(
        "--kas-address=wss://kas.example",
        f"--kubeconfig={config}",
        "--cluster=c",
        AGENTK_TOKEN="glagent-very-secret",
        HTTPS_PROXY="socks5://mia:hunter22@proxy.example",
    )
    out = capsys.readouterr().out
    assert code == 1
    assert "FAIL  settings" in out
    assert "only http:// proxies" in out
    assert "hunter22" not in out


@pytest.mark.parametrize(
    "arguments", [["--idle=x"], ["--idle=2h"], ["--idle=0s"], ["-o", "yaml"], ["--no-such"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert "usage: agentk" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        run("--help")
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "names the first hop" in told
    assert "exit codes: 0 all is well" in told
    assert f"every {PING_AFTER_S:.0f} s (over gRPC" in " ".join(told.split())


@pytest.mark.parametrize(("text", "seconds"), [("70s", 70.0), ("5m", 300.0)])
def test_durations_are_seconds_or_minutes(text: str, seconds: float):
    assert program._seconds(text) == seconds
