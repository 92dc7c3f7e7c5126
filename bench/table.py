"""Prints the figures of one benchmark run as a table: table.py FILE

FILE holds JSON objects, one a line. Ours say `stage`, `engine`, `rate_per_s` and, where the stage has them, `p50_ms`,
`p99_ms`, `cpu_s_per_1000`, `peak_rss_mib` and `limits`, a list of `{"name", "rate_per_s", "ratio"}`: what this machine
can do at most in the part that bounds the stage, measured in the same run. A peer's says `peer`. *Own* is the CPU time of
a peer's processes, or of our process with client and receiver in it; the other is the whole machine's.
"""

import json
import sys

COLUMNS = ["what", "per s", "p50 ms", "p99 ms", "CPU-s/1,000", "own", "peak MiB", "of a limit"]


def figure(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def limits(row):
    return "; ".join(f"{limit['ratio']:.2f} of {limit['name']} ({limit['rate_per_s']:,.0f}/s)" for limit in row.get("limits", []))


def our_row(row):
    return [
        f"{row['stage']}, {row['engine']}",
        figure(row["rate_per_s"], 0),
        figure(row.get("p50_ms"), 1),
        figure(row.get("p99_ms"), 1),
        figure(row.get("cpu_s_per_1000"), 2),
        figure(row.get("process_cpu_s_per_1000"), 2),
        figure(row.get("peak_rss_mib"), 0),
        limits(row) or "–",
    ]


def peer_rows(row):
    name, memory = row["peer"], figure(row["peak_pss_mib"], 0)
    cpu, own = figure(row["cpu_s_per_1000"], 2), figure(row["cpu_s_per_1000_peer"], 2)
    return [
        [f"accept, {name}", figure(row["accepted_per_s"], 0), "–", "–", "–", "–", "–", "–"],
        [f"deliver, {name}", figure(row["delivered_per_s"], 0), "–", "–", cpu, own, memory, "–"],
    ]


def comparison(ours, peers):
    for peer in peers:
        for row in ours:
            if row["stage"] == "deliver" and peer["delivered_per_s"] > 0:
                yield f"deliver, {row['engine']}: {row['rate_per_s'] / peer['delivered_per_s']:.1f} times {peer['peer']}"


def main():
    rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8") if line.strip()]
    ours = [row for row in rows if "stage" in row]
    peers = [row for row in rows if "peer" in row]
    table = [COLUMNS, *map(our_row, ours), *(line for peer in peers for line in peer_rows(peer))]
    widths = [max(len(line[column]) for line in table) for column in range(len(COLUMNS))]
    for line in table:
        first, *middle, last = (cell.ljust(width) if place in (0, len(COLUMNS) - 1) else cell.rjust(width)
                                for place, (cell, width) in enumerate(zip(line, widths)))
        print("  ".join([first, *middle, last]).rstrip())
    print(*comparison(ours, peers), sep="\n")


main()
