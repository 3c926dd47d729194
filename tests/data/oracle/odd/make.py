#!/usr/bin/env python3
"""Makes the sets `odd/*`: bars at prices out of the ordinary, and what TA-Lib says about them.

    python3 -m venv venv && venv/bin/pip install TA-Lib==0.8.2 numpy && venv/bin/python make.py

The wheel has TA-Lib's C library. The bars are the first of ../spy_1d, moved or scaled; see the sets below. With
`check`, it computes the columns over ../spy_1d instead and compares them with those of the talib.csv there, so that the
calls are known to be those of the other sets.
"""

import csv
import math
import pathlib
import sys

import numpy
import talib

HERE = pathlib.Path(__file__).resolve().parent
BARS = 110


def prices(move):
    with open(HERE.parent / "spy_1d" / "ohlcv.csv", newline="") as file:
        rows = list(csv.reader(file))[1 : 1 + BARS]
    moved = [[row[0], *(move(at, float(cell)) for cell in row[1:5]), float(row[5])] for at, row in enumerate(rows)]
    return [[bar[0], bar[1], max(bar[1:5]), min(bar[1:5]), bar[4], bar[5]] for bar in moved]


SETS = {
    # a spread that crosses zero
    "negative": lambda: prices(lambda at, price: round(price - 225.0, 4)),
    # prices that are all below zero, as those of power at noon
    "below": lambda: prices(lambda at, price: round(price - 300.0, 4)),
    # a market that is worth nothing for 40 bars, in which nothing moves
    "zeros": lambda: prices(lambda at, price: 0.0 if 50 <= at < 90 else round(price - 205.0, 4)),
    # prices that never move, below zero
    "flat": lambda: prices(lambda at, price: -5.25),
    # a billionth
    "nano": lambda: prices(lambda at, price: float(f"{price:.4f}e-11")),
    # a million millions
    "tera": lambda: prices(lambda at, price: float(f"{price:.4f}e10")),
}


def columns(o, h, l, c, v):
    macd = talib.MACD(c, 12, 26, 9)
    bands = talib.BBANDS(c, 20, 2, 2, 0)
    stoch = talib.STOCH(h, l, c, 14, 3, 0, 3, 0)
    fast = talib.STOCHF(h, l, c, 14, 3, 0)
    rsi = talib.STOCHRSI(c, 14, 14, 3, 0)
    aroon = talib.AROON(h, l, 14)
    vortex = talib.VORTEX(h, l, c, 14)
    keltner = talib.KC(h, l, c, 20, 10, 2.0)
    donchian = talib.DONCHIAN(h, l, 20)
    trend = talib.SUPERTREND(h, l, c, 10, 3.0)
    return {
        "sma_20": talib.SMA(c, 20), "ema_20": talib.EMA(c, 20), "wma_20": talib.WMA(c, 20),
        "dema_20": talib.DEMA(c, 20), "tema_20": talib.TEMA(c, 20), "trima_20": talib.TRIMA(c, 20),
        "kama_10": talib.KAMA(c, 10), "rma_14": talib.RMA(c, 14), "hma_16": talib.HMA(c, 16),
        "t3_5_0.7": talib.T3(c, 5, 0.7), "vwma_20": talib.VWMA(c, v, 20), "rsi_14": talib.RSI(c, 14),
        "macd_12_26_9": macd[0], "macd_signal_12_26_9": macd[1], "macd_hist_12_26_9": macd[2],
        "bb_upper_20_2": bands[0], "bb_mid_20_2": bands[1], "bb_lower_20_2": bands[2],
        "stddev_20": talib.STDDEV(c, 20, 1), "var_20": talib.VAR(c, 20, 1),
        "trange": talib.TRANGE(h, l, c), "atr_14": talib.ATR(h, l, c, 14), "natr_14": talib.NATR(h, l, c, 14),
        "stoch_k_14_3_3": stoch[0], "stoch_d_14_3_3": stoch[1], "stochf_k_14_3": fast[0], "stochf_d_14_3": fast[1],
        "adx_14": talib.ADX(h, l, c, 14), "plus_di_14": talib.PLUS_DI(h, l, c, 14),
        "minus_di_14": talib.MINUS_DI(h, l, c, 14), "dx_14": talib.DX(h, l, c, 14),
        "adxr_14": talib.ADXR(h, l, c, 14), "cci_20": talib.CCI(h, l, c, 20), "mfi_14": talib.MFI(h, l, c, v, 14),
        "obv": talib.OBV(c, v), "ad": talib.AD(h, l, c, v), "bop": talib.BOP(o, h, l, c),
        "vwap_cumulative": talib.VWAP(h, l, c, v), "roc_10": talib.ROC(c, 10), "mom_10": talib.MOM(c, 10),
        "willr_14": talib.WILLR(h, l, c, 14), "stochrsi_k_14_14_3": rsi[0], "stochrsi_d_14_14_3": rsi[1],
        "sar_0.02_0.2": talib.SAR(h, l, 0.02, 0.2), "aroon_down_14": aroon[0], "aroon_up_14": aroon[1],
        "aroonosc_14": talib.AROONOSC(h, l, 14), "cmo_14": talib.CMO(c, 14), "ppo_12_26_ema": talib.PPO(c, 12, 26, 1),
        "apo_12_26_ema": talib.APO(c, 12, 26, 1), "trix_18": talib.TRIX(c, 18),
        "ultosc_7_14_28": talib.ULTOSC(h, l, c, 7, 14, 28), "adosc_3_10": talib.ADOSC(h, l, c, v, 3, 10),
        "linreg_14": talib.LINEARREG(c, 14), "linreg_slope_14": talib.LINEARREG_SLOPE(c, 14),
        "cmf_20": talib.CMF(h, l, c, v, 20), "vortex_plus_14": vortex[0], "vortex_minus_14": vortex[1],
        "kc_upper_20_10_2": keltner[0], "kc_mid_20_10_2": keltner[1], "kc_lower_20_10_2": keltner[2],
        "dc_upper_20": donchian[0], "dc_mid_20": donchian[1], "dc_lower_20": donchian[2],
        "supertrend_10_3": trend[0], "supertrend_dir_10_3": numpy.where(numpy.isnan(trend[0]), math.nan, trend[1]),
        "rocp_10": talib.ROCP(c, 10), "rocr_10": talib.ROCR(c, 10), "rocr100_10": talib.ROCR100(c, 10),
    }


def of(bars):
    return columns(*(numpy.array([bar[at] for bar in bars], dtype=float) for at in range(1, 6)))


def cell(value):
    return "" if math.isnan(value) else f"{value:.13g}"


def check():
    with open(HERE.parent / "spy_1d" / "ohlcv.csv", newline="") as file:
        bars = [[row[0], *map(float, row[1:])] for row in list(csv.reader(file))[1:]]
    with open(HERE.parent / "spy_1d" / "talib.csv", newline="") as file:
        known = {row["timestamp"]: row for row in csv.DictReader(file)}
    for name, values in of(bars).items():
        if name not in known[bars[0][0]]:
            continue
        for bar, value in zip(bars, values):
            text = known[bar[0]][name]
            same = cell(value) == "" if text == "" else abs(float(text) - value) <= 1e-9 * max(1.0, abs(value))
            assert same, (name, bar[0], text, value)
    print("every column is that of ../spy_1d")


def write(name, header, rows):
    file = HERE / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([",".join(header), *(",".join(row) for row in rows)]) + "\n")


if sys.argv[1:] == ["check"]:
    check()
else:
    for name, bars in ((name, make()) for name, make in SETS.items()):
        found = of(bars)
        texts = [[bar[0], *(repr(cell) for cell in bar[1:])] for bar in bars]
        write(f"{name}/ohlcv.csv", ["timestamp", "open", "high", "low", "close", "volume"], texts)
        rows = [[bar[0], *(cell(values[at]) for values in found.values())] for at, bar in enumerate(bars)]
        write(f"{name}/talib.csv", ["timestamp", *found], rows)
