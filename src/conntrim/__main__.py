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
    import threading

    # NumPy's linear algebra, which nothing here uses, starts a thread a core that spins for a tenth of a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from conntrim.cli.main import run

    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:  # what ends it as ever says so
        raise SystemExit(code) from error
    if threading.active_count() == 1 and "multiprocessing" not in sys.modules:
        os._exit(code)  # to take a large rule set down, object by object, takes a tenth of the time of a proof
    raise SystemExit(code)


if __name__ == "__main__":
    main()
