import json, random
from decimal import Decimal, getcontext
from fractions import Fraction
import pandas as pd
getcontext().prec = 200
random.seed(20261128)

START = 1704191985000  # 2024-01-02T10:39:45Z
trades, at = [], START
price = Decimal('42000')
for number in range(1200):
    if number:
        at += random.choice([0, 0, 1, 137, 900, 2500]) + (random.random() < 0.004) * 200_000
    price += Decimal(random.randrange(-400, 401)) / 100
    digits = random.choice([0, 2, 5, 8])
    size = Decimal(random.randrange(1, 10 ** (digits + 3))) / 10 ** digits
    trades.append((at, price, size, 9_000 + number))

def bars(rule):
    frame = pd.DataFrame(trades, columns=['at', 'price', 'size', 'id'])
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame['at'], unit='ms', utc=True), name='time')
    rows = []
    for open_, part in frame.resample(rule, closed='left', label='left', origin='epoch'):
        # nothing is built from the bucket of the first trade
        if part.empty or open_ <= frame.index[0]:
            continue
        part = part.sort_values(['at', 'id'])
        volume = sum(part['size'], Decimal(0))
        value = sum((p * s for p, s in zip(part['price'], part['size'])), Decimal(0))
        vwap = float(Fraction(value) / Fraction(volume))
        prices = [float(x) for x in (part['price'].iloc[0], max(part['price']), min(part['price']), part['price'].iloc[-1])]
        rows.append([open_.strftime('%Y-%m-%dT%H:%M:%SZ'), *prices, float(volume), len(part), vwap])
    return rows

# in the order in which they come: each is late by less than ten seconds, but for the first
late = {t[3]: random.randrange(0, 10_000) for t in trades[1:]}
order = trades[:1] + sorted(trades[1:], key=lambda t: (t[0] + late[t[3]], t[3]))
json.dump({
    'trades': [[t[0], str(t[1]), str(t[2]), t[3]] for t in order],
    '1m': bars('1min'),
    '5m': bars('5min'),
}, open('trades.json', 'w'), separators=(',', ':'))
