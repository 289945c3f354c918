"""The entry point: `conntrim` and `python -m conntrim`."""

from __future__ import annotations


def main() -> None:
    """Run the command line; answer `--version` before anything else is imported."""
    import sys

    if sys.argv[1:] == ["--version"]:
        from conntrim import __version__

        print(f"conntrim {__version__}")
        return
    import os

    # NumPy's linear algebra, which nothing here uses, starts a thread a core that spins for a tenth of a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from conntrim.cli.main import run

    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
