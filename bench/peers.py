"""The same count of a saved table by polars and duckdb, each with one regular expression:
`python -m bench.peers NAME FILE`. Neither is needed for anything else: the extra `bench` has them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

FIELDS = ("proto", "state", "src", "dport", "unreplied", "answerer", "zone")
PATTERN = (
    r"^ipv\d\s+\d+ (\w+)\s+\d+ \d+ (?:([A-Z_0-9]+) )?src=(\S+) dst=\S+ sport=\d+ dport=(\d+) "
    r"(\[UNREPLIED\] )?src=(\S+) .*zone=(\d+)"
)
OURS = ("192.168.0.18", "127.0.0.1", "2001:0db8:0000:0000:0000:0000:0000:0018")


def polars(path: str) -> int:
    """All cores, streamed."""
    import polars as pl

    lines = pl.scan_csv(path, has_header=False, separator="\x01", quote_char=None, new_columns=["line"])
    groups = pl.col("line").str.extract_groups(PATTERN).struct.rename_fields(list(FIELDS))
    table = lines.select(groups).unnest("line")
    far = pl.when(pl.col("src").is_in(OURS)).then(pl.col("answerer")).otherwise(pl.col("src"))
    table = table.with_columns(
        from_here=pl.col("src").is_in(OURS), to_here=pl.col("answerer").is_in(OURS), far=far
    ).collect()  # fmt: skip
    service = ["from_here", "to_here", "proto", "dport"]
    entries = table.group_by([*service, "state", "unreplied"]).len()
    table.group_by(service).agg(pl.col("far").n_unique())
    table.group_by("zone").len()
    table.group_by("far").len().sort("len").tail(1)
    return int(entries["len"].sum())


def duckdb(path: str) -> int:
    """All cores."""
    import duckdb as db

    names = ", ".join(f"'{name}'" for name in FIELDS)
    ours = ", ".join(f"'{address}'" for address in OURS)
    db.execute(
        f"create table t as select f.*, f.src in ({ours}) as from_here, f.answerer in ({ours}) as to_here, "
        f"case when f.src in ({ours}) then f.answerer else f.src end as far from "
        f"(select regexp_extract(line, ?, [{names}]) as f from "
        f"read_csv(?, columns={{'line': 'VARCHAR'}}, delim='\x01', quote='', escape='', header=false))",
        [PATTERN, path],
    )
    service = "from_here, to_here, proto, dport"
    rows = db.execute(f"select {service}, state, unreplied, count(*) from t group by all").fetchall()
    db.execute(f"select {service}, count(distinct far) from t group by all").fetchall()
    db.execute("select zone, count(*) from t group by all").fetchall()
    db.execute("select far, count(*) as n from t group by far order by n desc limit 1").fetchall()
    return sum(row[-1] for row in rows)


PEERS: dict[str, Callable[[str], int]] = {"polars": polars, "duckdb": duckdb}

if __name__ == "__main__":
    print(PEERS[sys.argv[1]](sys.argv[2]))
