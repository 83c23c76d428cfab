# SPDX-License-Identifier: MIT
"""What bench/compare tells of its samples: ratios, means, tables, charts."""
import math
import os
import shutil
import statistics
import subprocess
import sys


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values)) if values else None


class Comparison:
    """Medians and ratios of one metric."""

    def __init__(self, data, metric, names, peers):
        self.names = names
        self.peers = [name for name in names if name in peers]
        self.median = {row: {name: statistics.median(samples) for name, samples in metrics[metric].items()}
                       for row, metrics in data.items() if metric in metrics}
        # A row in which an allocator failed, or that measured nothing, gives no ratio.
        self.rows = [row for row, values in self.median.items()
                     if len(values) == len(names) and min(values.values()) > 0]

    def ratio(self, row, name, others=None):
        """To the best of the others; without them, of all."""
        values = self.median[row]
        return values[name] / min(values[other] for other in others or self.names)

    def mean(self, name, rows):
        return geometric_mean([self.ratio(row, name) for row in rows])

    def worst(self, name, rows):
        return max((self.ratio(row, name), row) for row in rows)


def in_total(metric, row):
    """RSS of the micro benches is not: how often a row iterates, and with that its heap, is
    google-benchmark's choice. Of a space bench only the peak is, as of a program."""
    if metric == "time":
        return True
    suite, _, rest = row.partition("/")
    return suite in ("real", "trace") or (suite == "space" and rest.endswith("/peak"))


def table(comparisons, machine, limit):
    """Markdown: the means of the suites, all rows, and the rows that are behind."""
    names = comparisons["time"].names
    lines = [machine, ""]
    for metric, title in (("time", "Time"), ("rss", "RSS")):
        each = comparisons[metric]
        if not each.rows:
            continue
        lines += [f"### {title}, ratio to the best of the row", "",
                  "| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
        suites = dict.fromkeys(row.split("/")[0] for row in each.rows)
        parts = {suite: [row for row in each.rows if row.startswith(suite + "/")] for suite in suites}
        parts["total"] = [row for row in each.rows if in_total(metric, row)]
        for part, rows in parts.items():
            if rows:
                lines.append(f"| **{part}**, geometric mean | "
                             + " | ".join(f"{each.mean(name, rows):.2f}" for name in names) + " |")
        if parts["total"]:
            lines.append("| worst row of the total | "
                         + " | ".join("{:.2f} {}".format(*each.worst(name, parts["total"])) for name in names) + " |")
        for row in each.rows:
            lines.append(f"| {row} | " + " | ".join(f"{each.ratio(row, name):.2f}" for name in names) + " |")
        lines.append("")
    for name in names:
        each = comparisons["time"]
        if name in each.peers:
            continue
        behind = sorted(((each.ratio(row, name, each.peers), row) for row in each.rows if each.peers), reverse=True)
        behind = [(ratio, row) for ratio, row in behind if ratio > limit]
        lines.append(f"{name}: {len(behind)} of {len(each.rows)} rows take more than {limit} of the best peer's time"
                     + (":" if behind else "."))
        lines.append("")
        for ratio, row in behind:
            best = min(each.peers, key=each.median[row].get)
            lines.append(f"- {row}: {ratio:.2f} of {best}")
        if behind:
            lines.append("")
    return "\n".join(lines)


def write_tsv(path, data, comparisons):
    """A line a row, metric and allocator."""
    names = comparisons["time"].names
    with open(path, "w", encoding="ascii") as file:
        print("row", "metric", "allocator", "median", "least", "most", "samples", "to_best", "to_best_peer", sep="\t",
              file=file)
        for row, metrics in data.items():
            for metric, by_name in metrics.items():
                each = comparisons.get(metric)
                for name in names:
                    samples = by_name.get(name)
                    if not samples:
                        continue
                    ratios = ["", ""]
                    if each and row in each.rows:
                        ratios = [f"{each.ratio(row, name):.3f}",
                                  f"{each.ratio(row, name, each.peers):.3f}" if each.peers else ""]
                    print(row, metric, name, f"{statistics.median(samples):.6g}", f"{min(samples):.6g}",
                          f"{max(samples):.6g}", len(samples), *ratios, sep="\t", file=file)


def chart(folder, metric, title, each):
    """A line a row, a point an allocator, its ratio to the best of the row."""
    if not each.rows or not shutil.which("gnuplot"):
        return
    data = os.path.join(folder, metric + ".dat")
    with open(data, "w", encoding="ascii") as file:
        for at, row in enumerate(reversed(each.rows)):
            print(at, row, *(f"{min(each.ratio(row, name), 16):.4f}" for name in each.names), file=file)
    height = 110 + 14 * len(each.rows)
    plots = ", ".join(f"'{data}' using {at + 3}:1{':ytic(2)' if at == 0 else ''} title '{name}' "
                      f"with points pt {7 if at == 0 else at + 4} ps {0.9 if at == 0 else 0.6}"
                      for at, name in enumerate(each.names))
    script = f"""
        set terminal svg size 900,{height} font 'sans,11' background '#ffffff'
        set output '{os.path.join(folder, metric)}.svg'
        set title '{title}: ratio to the best of the row (16: or more)'
        set logscale x 2
        set xrange [0.95:17]
        set yrange [-1:{len(each.rows)}]
        set key outside top center horizontal
        set grid x y linecolor '#dddddd'
        set ytics font 'sans,9' noenhanced
        plot {plots}
    """
    done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        print("compare: gnuplot: " + done.stderr.strip(), file=sys.stderr)
    os.unlink(data)
