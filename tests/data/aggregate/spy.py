"""The bars that derive from SPY's minutes of four days: pandas for buckets, decimal for volumes."""
import csv, json
from decimal import Decimal
import pandas as pd

rows = list(csv.DictReader(open("../bars/spy_1m.csv")))
index = pd.DatetimeIndex([pd.Timestamp(r["timestamp"]) for r in rows])
out, open_at_end = {}, {}
for name, rule, zone, minutes in [("5m", "5min", "UTC", 5), ("1h", "h", "UTC", 60), ("1d", "D", "UTC", 1440),
                                  ("1d New York", "D", "America/New_York", 1440)]:
    local = index.tz_convert(zone)
    kw = {} if rule == "D" else {"origin": "epoch"}
    groups = pd.Series(range(len(rows)), index=local).resample(rule, closed="left", label="left", **kw)
    bars, still_open = [], 0
    for label, members in groups:
        if len(members) == 0:
            continue
        open_ = label.tz_convert("UTC")
        if open_ < index[0]:
            continue  # not seen from its open
        complete = len(members) == minutes
        if not complete and index[-1] < open_ + pd.Timedelta(minutes=minutes):
            still_open += 1
        part = [rows[i] for i in members]
        number = lambda key, pick: pick([Decimal(r[key]) for r in part])
        bars.append([
            open_.strftime("%Y-%m-%dT%H:%M:%SZ"),
            float(part[0]["open"]), float(number("high", max)), float(number("low", min)), float(part[-1]["close"]),
            float(number("volume", lambda v: sum(v, Decimal(0)))), len(part),
        ])
    out[name] = bars
    open_at_end[name] = still_open
json.dump({"bars": out, "open_at_end": open_at_end}, open("spy.json", "w"), separators=(",", ":"))
print({name: len(bars) for name, bars in out.items()}, open_at_end)
