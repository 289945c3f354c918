"""Options of `-m conntrack` that ask of an entry: values that no iptables takes are one error with its line."""

import pytest

from conntrim.cli.main import run
from conntrim.core.model.errors import InputError
from conntrim.core.parse.xt.save import read_save

BAD = [
    "--ctstatus NONSENSE", "--ctstatus ASSURED,",
    "--ctdir SIDEWAYS", "--ctexpire -1:99999999999", "--ctorigsrc 1.2.3.4/99",
    "--ctorigdst banana", "--ctreplsrc ::1", "--ctorigsrcport 99999", "--ctrepldstport 5:1", "--ctorigdstport x",
    "--ctproto 999", "--ctorigdstport 1,2",
]  # fmt: skip
GOOD = [
    "--ctstatus ASSURED,CONFIRMED", "--ctdir REPLY", "--ctexpire 0:4294967295", "--ctorigsrc 192.0.2.0/24",
    "--ctorigsrcport 1024:", "--ctrepldstport http", "--ctproto udp",
]  # fmt: skip


def save(option: str) -> str:
    """A rule set with one rule that asks so."""
    return f"*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m conntrack {option} -j ACCEPT\nCOMMIT\n"


@pytest.mark.parametrize("option", BAD)
def test_a_value_that_iptables_refuses_is_named_with_its_line(option: str) -> None:
    """Not a bug of ours at the first packet, nor a condition that silently never holds."""
    with pytest.raises(InputError, match=r"^rules:3: "):
        read_save(save(option), "rules")


@pytest.mark.parametrize("option", GOOD)
def test_what_iptables_takes_is_explained(option: str, tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A service's name and an open range too: explained or not decided, and no bug."""
    path = f"{tmp_path}/rules"
    with open(path, "w") as file:
        file.write(save(option))
    packet = ["-p", "tcp", "-s", "1.2.3.4", "-d", "1.2.3.5", "--sport", "1", "--dport", "2", "-i", "eth0"]
    assert run(["explain", *packet, "--connection", "--ruleset", path]) in (0, 1)
    assert "bug" not in capsys.readouterr().err
