"""The bars of sessions: pandas for buckets and times of day, decimal for volumes.

Buckets are those of `resample` of one session, with its open as origin; the minute after the close
is put into the last one.
"""
import csv, json, random
from decimal import Decimal
import pandas as pd

random.seed(20261127)
ZERO = Decimal(0)
utc = lambda t: t.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ")


def hours(date, session):
    """The open, the close and the end of the auction of a date."""
    clocks, zone = session.split(" ")
    at = lambda clock: pd.Timestamp(f"{date} {clock}").tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
    open_, close = map(at, clocks.split("-"))
    return open_, close, close + pd.Timedelta(seconds=60)


def buckets():
    """Rows of timeframe, calendar, session, part, a time, the open and the end of its bucket, and
    the parts that fill it; nulls for a time outside."""
    rules = {"5m": "5min", "1h": "60min", "4h": "240min", "12h": "720min"}
    places = [
        ("09:30-16:00 America/New_York", "UTC", ["2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04", "2020-12-15"]),
        ("09:30-16:00 America/New_York", "America/New_York", ["2024-03-10", "2024-11-03", "2024-07-04"]),
        ("01:00-04:00 America/New_York", "America/New_York", ["2024-03-09", "2024-03-10", "2024-11-03"]),
        ("09:00-15:25 Asia/Tokyo", "UTC", ["2024-02-29"]),
        ("10:00-16:00 Australia/Sydney", "Australia/Sydney", ["2024-04-07", "2024-10-06"]),
        ("08:00-16:30 Europe/London", "UTC", ["2024-03-31", "2024-10-27"]),
    ]
    out = []
    for session, calendar, dates in places:
        for date in dates:
            open_, close, end = hours(date, session)
            length = int((end - open_).total_seconds())
            times = [random.randrange(-3600, length + 3600) for _ in range(6)]
            times += [-1, 0, length - 61, length - 60, length - 1, length]
            for name, rule in rules.items():
                for seconds in times:
                    at = open_ + pd.Timedelta(seconds=seconds)
                    if not open_ <= at < end:
                        out.append([name, calendar, session, "1m", utc(at), None, None, None])
                        continue
                    inside = min(at, close - pd.Timedelta(seconds=1)).tz_convert("UTC")
                    one = pd.Series([1], index=pd.DatetimeIndex([inside]))
                    label = one.resample(rule, origin=open_.tz_convert("UTC"), closed="left", label="left").sum()
                    label = label[label > 0].index[0]
                    next_ = label + pd.Timedelta(rule)
                    last = next_ >= close
                    minutes = (min(next_, close) - label).total_seconds() / 60
                    out.append([name, calendar, session, "1m", utc(at), utc(label), utc(end if last else next_), int(minutes)])
    return out


def spy():
    """By timeframe, the bars that derive from SPY's minutes of four days within the session."""
    session = "09:30-16:00 America/New_York"
    rows = [r for r in csv.DictReader(open("../bars/spy_1m.csv"))]
    frame = pd.DataFrame({"at": [pd.Timestamp(r["timestamp"]) for r in rows], "row": rows})
    date = frame["at"].dt.tz_convert("America/New_York").dt.date
    out = {"5m": [], "1h": [], "1d": []}
    for date, group in frame.groupby(date):
        open_, close, end = hours(date, session)
        group = group[(group["at"] >= open_) & (group["at"] < end)]
        inside = group["at"].where(group["at"] < close, close - pd.Timedelta(seconds=1))
        for name, rule in [("5m", "5min"), ("1h", "60min"), ("1d", None)]:
            index = pd.DatetimeIndex(inside)
            if rule:
                parts = pd.Series(range(len(group)), index=index).resample(rule, origin=open_.tz_convert("UTC"))
                parts = [(label, list(members)) for label, members in parts if len(members)]
            else:
                parts = [(pd.Timestamp(date).tz_localize("UTC"), list(range(len(group))))]
            for label, members in parts:
                part = [group["row"].iloc[i] for i in members]
                number = lambda key, pick: float(pick([Decimal(r[key]) for r in part]))
                length = pd.Timedelta(rule) if rule else close - open_
                first = label if rule else open_
                expected = int((min(first + length, close) - first).total_seconds() // 60)
                out[name].append([
                    utc(label), float(part[0]["open"]), number("high", max), number("low", min),
                    float(part[-1]["close"]), number("volume", lambda v: sum(v, ZERO)), len(part), expected,
                ])
    return out


spy = spy()
json.dump({"buckets": buckets(), "spy": spy}, open("sessions.json", "w"), separators=(",", ":"))
print({name: len(bars) for name, bars in spy.items()}, spy["1d"])
