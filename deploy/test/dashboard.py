#!/usr/bin/env python3
"""Whether dashboard and rules speak of what is there.

    dashboard.py METRICS PROMETHEUS

METRICS is a file with what an agent answers to /metrics, PROMETHEUS the address of a Prometheus
that scrapes one at work with our rules. Every metric that the rules and the dashboard name must
be exported (or recorded by a rule), every query of every panel must give data, and no two panels
may share an id or a place.
"""

import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

MONITORING = pathlib.Path(__file__).resolve().parent.parent / "monitoring"
NAME = re.compile(r"\b(?:[a-z]+:)?(?:technical|process)_[a-z0-9_:]+")
RECORD = re.compile(r"^\s*- record: (\S+)", re.MULTILINE)
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def exported_names(metrics):
    """The names of the samples in an answer to GET /metrics."""
    lines = pathlib.Path(metrics).read_text(encoding="utf-8").splitlines()
    return {re.split(r"[{ ]", line)[0] for line in lines if line[:1].isalpha()}


def panels_and_queries():
    dashboard = json.loads((MONITORING / "grafana" / "technical-analysis.json").read_text("utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    return panels, [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def expressions_of_rules():
    """What the rules ask for, without the words of their annotations, and the names they record."""
    rules = (MONITORING / "rules" / "technical-analysis.yml").read_text(encoding="utf-8")
    found = re.findall(r"expr: (?:>-\n)?((?:.+\n)(?:          .+\n)*)", rules)
    return found, set(RECORD.findall(rules))


def not_exported(exported):
    """A sentence for each name in rules and dashboard that is neither exported nor recorded."""
    expressions, recorded = expressions_of_rules()
    queries = [query for _, query in panels_and_queries()[1]]
    return [f"nobody exports {name}, named in: {expression.strip()}"
            for expression in expressions + queries
            for name in NAME.findall(expression) if name not in exported | recorded]


def misplaced():
    """A sentence for each id that two panels of the dashboard share, and for each two that overlap."""
    dashboard = json.loads((MONITORING / "grafana" / "technical-analysis.json").read_text("utf-8"))
    faults, places = [], []
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            faults.append(f"{panel['title']}: wider than the dashboard")
        for other, there in places:
            if panel["id"] == other["id"]:
                faults.append(f"{panel['title']}: has the id of {other['title']}")
            if (at["x"] < there["x"] + there["w"] and there["x"] < at["x"] + at["w"]
                    and at["y"] < there["y"] + there["h"] and there["y"] < at["y"] + at["h"]):
                faults.append(f"{panel['title']}: overlaps {other['title']}")
        places.append((panel, at))
    return faults


def main(metrics, prometheus):
    exported = exported_names(metrics)
    expressions, _ = expressions_of_rules()
    panels, queries = panels_and_queries()
    faults = not_exported(exported) + misplaced()
    source = (MONITORING / "grafana" / "datasources.yml").read_text(encoding="utf-8")
    for panel in panels:
        if f"uid: {panel['datasource']['uid']}\n" not in source:
            faults.append(f"{panel['title']}: no such data source is provisioned")
        if not panel["targets"]:
            faults.append(f"{panel['title']}: no query")
    for title, query in queries:
        query = query.replace("$__rate_interval", "30s").replace("$job", ".*")
        url = f"http://{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with DIRECT.open(url, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        if not any(sample["value"][1] != "NaN" for sample in result):
            faults.append(f"{title}: no data for {query}")
    for fault in faults:
        print(fault)
    print(f"{len(panels)} panels with {len(queries)} queries, {len(expressions)} rules, "
          f"{len(exported)} exported names: {len(faults)} faults")
    return 1 if faults or not panels or not expressions else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 3 else __doc__)
