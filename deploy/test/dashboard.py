#!/usr/bin/env python3
"""Whether dashboard and rules speak of what is there.

    dashboard.py METRICS PROMETHEUS

METRICS is a file with what an agent answers to /metrics, PROMETHEUS the address of a Prometheus
that scrapes one at work with our rules. Every metric that the rules and the dashboard name must
be exported (or recorded by a rule), and every query of every panel must give data.
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


def main(metrics, prometheus):
    text = pathlib.Path(metrics).read_text(encoding="utf-8")
    exported = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line[:1].isalpha()}
    rules = (MONITORING / "rules" / "technical-analysis.yml").read_text(encoding="utf-8")
    recorded = set(RECORD.findall(rules))
    faults = []
    # what a rule says, without the words of its annotations
    expressions = re.findall(r"expr: (?:>-\n)?((?:.+\n)(?:          .+\n)*)", rules)
    dashboard = json.loads((MONITORING / "grafana" / "technical-analysis.json").read_text("utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    for expression in expressions + [query for _, query in queries]:
        for name in NAME.findall(expression):
            if name not in exported | recorded:
                faults.append(f"nobody exports {name}, named in: {expression.strip()}")
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
