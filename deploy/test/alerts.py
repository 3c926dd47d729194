#!/usr/bin/env python3
"""Whether every alert can be relied on, without a Prometheus.

    alerts.py METRICS

METRICS is an answer to GET /metrics. Every alert must have unit tests in which it fires and in
which it ends again, and a row in docs/deployment/monitoring.md; every metric that rules and
dashboard name must be exported, and no panels of the dashboard may overlap. Prints what is wrong and exits 1, or says what holds.
"""

import re
import sys

from dashboard import MONITORING, exported_names, misplaced, not_exported

PAGE = MONITORING.parent.parent / "docs" / "deployment" / "monitoring.md"
ALERT = re.compile(r"^ *- alert: (\S+)", re.MULTILINE)
# one expectation of promtool's, in one line or in several
EXPECTATION = re.compile(r"eval_time: (\w+),?\s+alertname: (\w+),?\s+exp_alerts:[ \n]*(\S+)")
SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(duration):
    return sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))


def fires_and_ends(tests):
    """The alerts that fire in some test, and those that are silent in the same test later on."""
    fire, end = set(), set()
    for test in re.split(r"^  - name: ", tests, flags=re.MULTILINE):
        fired = {}
        expectations = [(seconds(at), alert, what != "[]") for at, alert, what in EXPECTATION.findall(test)]
        for _, alert, firing in sorted(expectations):
            fired[alert] = fired.get(alert, False) or firing
            if firing:
                fire.add(alert)
            elif fired[alert]:
                end.add(alert)
    return fire, end


def main(metrics):
    rules = "".join(file.read_text("utf-8") for file in sorted(MONITORING.glob("rules/*.yml")))
    tests = (MONITORING / "tests" / "rules.yml").read_text("utf-8")
    page = PAGE.read_text("utf-8")
    alerts = ALERT.findall(rules)
    fire, end = fires_and_ends(tests)
    documented = re.findall(r"^\| `(TechnicalAnalysis\w+)` \|", page, re.MULTILINE)
    faults = not_exported(exported_names(metrics)) + misplaced()
    for alert in alerts:
        if alert not in fire:
            faults.append(f"{alert}: no unit test in which it fires")
        if alert not in end:
            faults.append(f"{alert}: no unit test in which it ends after it fired")
        if documented.count(alert) != 1:
            faults.append(f"{alert}: {documented.count(alert)} rows in {PAGE.name}")
    for alert in sorted((set(documented) | fire) - set(alerts)):
        faults.append(f"{alert}: documented or tested, but no rule")
    if not alerts:
        faults.append("no alert is found in the rules")
    for fault in faults:
        print(fault)
    print(f"{len(alerts)} alerts, each of which fires, ends and is documented; rules and dashboard "
          "name only what is exported" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 2 else __doc__)
