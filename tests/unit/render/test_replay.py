"""What is printed of witnesses that a kernel was shown."""

from textwrap import dedent

from conntrim.core.model.replay import Played, Replay
from conntrim.render.replay import replay_text

SYN = "eth0> tcp 198.51.100.7 11211 > 192.0.2.1 3306 S"
PLAYED = Played("tcp, source port 11211", "refused before, let through after", (SYN,), "", "input untracked", True)


def test_each_witness_says_how_it_stands() -> None:
    """Confirmed, not confirmed and not replayed are told apart, and what was left open is said at the end."""
    refuted = Played("udp", "let through before, refused after", (SYN,), "input new", "input new")
    group = Played("udp", "refused before, let through after", (SYN,), missing="it goes to a group")
    replay = Replay((PLAYED, refuted, group), ("IPv6: more than 60 s of work",))
    assert not replay.whole
    assert dedent("""\
        this kernel confirms 1 of 3 witnesses

        confirmed: refused before, let through after: tcp, source port 11211
          eth0> tcp 198.51.100.7 11211 > 192.0.2.1 3306 S
            before: nothing
            after:  input untracked

        NOT CONFIRMED: let through before, refused after: udp
          eth0> tcp 198.51.100.7 11211 > 192.0.2.1 3306 S
            before: input new
            after:  input new

        not replayed: refused before, let through after: udp
          eth0> tcp 198.51.100.7 11211 > 192.0.2.1 3306 S
            it goes to a group

        not decided: IPv6: more than 60 s of work
        """) == replay_text(replay)


def test_nothing_to_show_is_said() -> None:
    """Without a difference there is no witness; without an answer there is none either, and that is another thing."""
    assert "the same: both rule sets treat every packet alike\n" == replay_text(Replay(()))
    assert replay_text(Replay((), ("why",))).startswith("nothing to replay\n")
    assert (True, False) == (Replay((PLAYED,)).whole, Replay((), ("why",)).whole)
