"""A full disk while a plan is written: one line, nothing half-done, the earlier plan as it was."""

import subprocess
import sys
from pathlib import Path

from conntrim.core.parse.plan import parse_plan

HOSTS = Path(__file__).parents[1] / "golden/hosts"
SCRIPT = """
mount -t tmpfs -o size=64k tmpfs "$1" && cd "$1" || exit 9
shift
"$@" -o plan > /dev/null  # exit code 1: rules in a file are not loaded anywhere, so one obligation stays open
cp plan/plan.json .. || exit 8
dd if=/dev/zero of=filler bs=1k 2> /dev/null
"$@" -o plan > /dev/null
code=$?
cp plan/plan.json ../after.json && ls -A > ../listing
exit $code
"""


def test_a_full_disk_keeps_the_earlier_plan(tmp_path: Path) -> None:
    """The second plan meets a full disk: exit code 2, one line with the cause, and the first plan is still whole."""
    (tmp_path / "disk").mkdir()
    policy, rules = HOSTS / "web.toml", HOSTS / "rh-firewall.save"
    plan = [sys.executable, "-m", "conntrim", "plan", "--policy", str(policy), "--ruleset", str(rules)]
    ended = subprocess.run(
        [
            "/usr/bin/unshare",
            "--mount",
            "sh",
            "-c",
            SCRIPT,
            "sh",
            str(tmp_path / "disk"),
            *plan,
            "--local",
            "192.168.0.18",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (2, 1) == (ended.returncode, len(ended.stderr.splitlines()))
    assert "No space left on device" in ended.stderr
    assert "filler\nplan\n" == (tmp_path / "listing").read_text()
    before, after = ((tmp_path / name).read_bytes() for name in ("plan.json", "after.json"))
    assert parse_plan(before, "plan.json") == parse_plan(after, "after.json")
