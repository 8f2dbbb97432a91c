"""Reads Prometheus's text format 0.0.4 from standard input, strictly: exposition.py [NAME{LABELS}]...

Exits with 1 and why if anything is not as the format and Prometheus's naming conventions want it. Prints
the value of each sample named, or "none".
"""
import math
import re
import sys

LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")


def fail(number, line, why):
    sys.exit(f"line {number}: {why}: {line}")


def labels_of(text):
    names, at = [], 0
    while text and at < len(text):
        m = LABEL.match(text, at)
        if not m:
            raise ValueError(text)
        names.append((m[1], m[2]))
        at = m.end()
    if len(dict(names)) != len(names):
        raise ValueError("a label twice")
    return dict(names)


def family_of(name, kind):
    return re.sub("_(bucket|sum|count)$", "", name) if kind == "histogram" else name


def check_histogram(name, samples):
    groups = {}
    for sample, labels, value in samples:
        key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        group = groups.setdefault(key, {"buckets": []})
        if sample.endswith("_bucket"):
            group["buckets"].append((float(labels["le"]), value))
        else:
            group[sample] = value
    for key, group in groups.items():
        bounds = [b for b, _ in group["buckets"]]
        counts = [c for _, c in group["buckets"]]
        if bounds != sorted(bounds) or bounds[-1] != math.inf or counts != sorted(counts):
            sys.exit(f"{name}{key}: buckets are not cumulative, or +Inf is missing")
        if counts[-1] != group[name + "_count"] or name + "_sum" not in group:
            sys.exit(f"{name}{key}: _count or _sum is missing or wrong")


text = sys.stdin.read()
if not text.endswith("\n"):
    sys.exit("the last line does not end")
kind, helped, families, values, current = {}, set(), {}, {}, None
for number, line in enumerate(text.splitlines(), 1):
    if line.startswith("# HELP "):
        current = line.split(" ")[2]
        if current in helped:
            fail(number, line, "HELP twice")
        helped.add(current)
    elif line.startswith("# TYPE "):
        _, _, name, what = line.split(" ")
        if name != current or what not in ("counter", "gauge", "histogram"):
            fail(number, line, "TYPE is not behind its HELP")
        if (what == "counter") != name.endswith("_total"):
            fail(number, line, "counters, and only they, end in _total")
        if any(f"_{unit}_" in name for unit in ("ms", "milliseconds", "kb", "mb")):
            fail(number, line, "not in a base unit")
        kind[name] = what
        families[name] = []
    else:
        m = SAMPLE.fullmatch(line)
        if not m:
            fail(number, line, "no sample")
        try:
            labels, value = labels_of(m[2]), float(m[3])
        except ValueError as e:
            fail(number, line, e)
        if family_of(m[1], kind.get(current)) != current:
            fail(number, line, "a sample outside of its family")
        key = m[1] + ("{" + m[2] + "}" if m[2] else "")
        if key in values:
            fail(number, line, "a sample twice")
        if kind[current] != "gauge" and (value < 0 or math.isnan(value)):
            fail(number, line, "a counter below zero")
        values[key] = m[3]
        families[current].append((m[1], labels, value))
for name, samples in families.items():
    if kind[name] == "histogram":
        check_histogram(name, samples)
for wanted in sys.argv[1:]:
    print(values.get(wanted, "none"))
