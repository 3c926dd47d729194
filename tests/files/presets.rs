//! The files of each vendor that has a preset, with it and without.

use super::*;

#[test]
fn yahoo() {
    let days = [
        "AAPL 1d 2024-01-02T00:00:00Z 187.15 188.44 183.89 185.64 82488700",
        "AAPL 1d 2024-01-03T00:00:00Z 184.22 185.88 183.43 184.25 58414500",
        "AAPL 1d 2024-01-04T00:00:00Z 182.15 183.09 180.88 181.91 71983600",
    ];
    let ways: [&[&str]; 2] = [
        &["yahoo_yfinance.csv"],
        &["yahoo_yfinance.csv", "--preset", "yahoo"],
    ];
    assert_all_read(&ways, &["the timeframe is 1d"], &days);
    // symbols side by side; MSFT has no row on the second day
    let wide = [
        days[0],
        "MSFT 1d 2024-01-02T00:00:00Z 373.86 375.9 366.77 370.87 25258600",
        days[1],
        days[2],
        "MSFT 1d 2024-01-04T00:00:00Z 370.67 373.1 367.17 367.94 20901500",
    ];
    assert_read(&["yahoo_wide.csv", "--preset", "yahoo"], &[], &wide);
    assert_answered(&["yahoo_wide.csv", "--symbol", "X"], &["`AAPL` and `MSFT`"]);
    // the adjusted close is no close, and a row of nulls no bar
    assert_read(
        &[
            "yahoo_download.csv",
            "--preset",
            "yahoo",
            "--symbol",
            "AAPL",
        ],
        &["line 4: missing_field", "1 refused (missing_field 1)"],
        &[
            "AAPL 1d 2024-01-02T00:00:00Z 187.149994 188.440002 183.889999 185.639999 82488700",
            "AAPL 1d 2024-01-03T00:00:00Z 184.220001 185.880005 183.429993 184.25 58414500",
            "AAPL 1d 2024-01-05T00:00:00Z 181.990005 182.759995 180.169998 181.179993 62303300",
        ],
    );
    assert_answered(&["yahoo_download.csv"], &["--symbol"]);
}

#[test]
fn tradingview() {
    let options = ["--symbol", "AAPL"];
    let of = |file, preset: &[&'static str]| [&[file][..], &options, preset].concat();
    let preset = ["--preset", "tradingview"];
    for preset in [&preset[..], &[]] {
        assert_read(
            &of("tradingview.csv", preset),
            &["the timeframe is 5m"],
            &[
                "AAPL 5m 2024-01-02T14:30:00Z 187.15 187.43 186.9 187.2 1204511",
                "AAPL 5m 2024-01-02T14:35:00Z 187.2 187.6 187.1 187.5 803112",
                "AAPL 5m 2024-01-02T14:40:00Z 187.5 187.55 187.01 187.05 640220",
            ],
        );
        assert_read(
            &of("tradingview_iso.csv", preset),
            &[],
            &[
                "AAPL 5m 2024-01-02T14:30:00Z 187.15 187.43 186.9 187.2 0",
                "AAPL 5m 2024-01-02T14:35:00Z 187.2 187.6 187.1 187.5 0",
                "AAPL 5m 2024-01-02T14:40:00Z 187.5 187.55 187.01 187.05 0",
            ],
        );
    }
}

#[test]
fn binance() {
    let bars = [
        "BTCUSDT 1m 2025-01-01T00:00:00Z 93576 93610.93 93537.5 93610.93 8.21827",
        "BTCUSDT 1m 2025-01-01T00:01:00Z 93610.93 93652 93606.2 93652 11.1127",
        "BTCUSDT 1m 2025-01-01T00:02:00Z 93652 93702.15 93649.05 93702.15 9.403",
    ];
    let columns = "time,open,high,low,close,volume,-,-,-,-,-,-";
    let ways: [&[&str]; 3] = [
        &["binance.csv", "--preset", "binance", "--symbol", "BTCUSDT"],
        &["binance.csv", "--columns", columns, "--symbol", "BTCUSDT"],
        &[
            "binance.csv",
            "--columns",
            "time,open,high,low,close,volume",
            "--symbol",
            "BTCUSDT",
        ],
    ];
    assert_all_read(&ways, &[], &bars);
    assert_answered(
        &["binance.csv", "--symbol", "BTCUSDT"],
        &[
            "there is no header",
            "--columns time,open,high,low,close,volume or --preset binance",
        ],
    );
    let futures: [&[&str]; 2] = [
        &[
            "binance_futures.csv",
            "--preset",
            "binance",
            "--symbol",
            "BTCUSDT",
        ],
        &["binance_futures.csv", "--symbol", "BTCUSDT"],
    ];
    assert_all_read(
        &futures,
        &[],
        &[
            "BTCUSDT 1m 2024-01-01T00:00:00Z 42314 42335.8 42289.6 42331.9 289.641",
            "BTCUSDT 1m 2024-01-01T00:01:00Z 42331.9 42353.1 42331.8 42350.4 202.444",
        ],
    );
}

#[test]
fn kraken() {
    // minutes without a trade have no row
    assert_read(
        &["kraken.csv", "--preset", "kraken", "--symbol", "XBTUSD"],
        &["the timeframe is 1m"],
        &[
            "XBTUSD 1m 2024-01-01T00:00:00Z 42265.4 42276.4 42265.4 42273.2 3.18205442",
            "XBTUSD 1m 2024-01-01T00:01:00Z 42273.3 42319.9 42273.2 42319.9 2.11810325",
            "XBTUSD 1m 2024-01-01T00:03:00Z 42320 42336 42319.9 42335.9 0.58415213",
            "XBTUSD 1m 2024-01-01T00:04:00Z 42335.9 42336 42335.9 42336 0.31120442",
        ],
    );
    // the average price comes before the volume
    assert_read(
        &["kraken_api.csv", "--preset", "kraken", "--symbol", "XBTUSD"],
        &[],
        &[
            "XBTUSD 1m 2024-01-01T00:00:00Z 42265.4 42276.4 42265.4 42273.2 3.18205442",
            "XBTUSD 1m 2024-01-01T00:01:00Z 42273.3 42319.9 42273.2 42319.9 2.11810325",
        ],
    );
    assert_answered(&["kraken.csv", "--symbol", "XBTUSD"], &["--preset kraken"]);
}

#[test]
fn stooq() {
    let ways: [&[&str]; 2] = [
        &["stooq.csv", "--preset", "stooq", "--symbol", "AAPL.US"],
        &["stooq.csv", "--symbol", "AAPL.US"],
    ];
    assert_all_read(
        &ways,
        &[],
        &[
            "AAPL.US 1d 2024-01-02T00:00:00Z 187.15 188.44 183.885 185.64 82488674",
            "AAPL.US 1d 2024-01-03T00:00:00Z 184.22 185.88 183.43 184.25 58414460",
            "AAPL.US 1d 2024-01-04T00:00:00Z 182.15 183.0872 180.88 181.91 71983570",
        ],
    );
    let ways: [&[&str]; 2] = [
        &["stooq_bulk.txt", "--preset", "stooq", "--timeframe", "5m"],
        &["stooq_bulk.txt", "--timeframe", "5m"],
    ];
    assert_all_read(
        &ways,
        &["times without an offset are read as UTC"],
        &[
            "AAPL.US 5m 2024-01-02T15:30:00Z 187.15 187.43 186.9 187.2 1204511",
            "AAPL.US 5m 2024-01-02T15:35:00Z 187.2 187.6 187.1 187.5 803112",
            "AAPL.US 5m 2024-01-02T15:40:00Z 187.5 187.55 187.01 187.05 640220",
        ],
    );
}

#[test]
fn metatrader() {
    // the volume is that of ticks where there is no other
    let ways: [&[&str]; 2] = [
        &["mt5.csv", "--preset", "mt5", "--symbol", "EURUSD"],
        &["mt5.csv", "--symbol", "EURUSD"],
    ];
    assert_all_read(
        &ways,
        &["the timeframe is 1m"],
        &[
            "EURUSD 1m 2024-01-02T00:05:00Z 1.10427 1.10429 1.10399 1.10421 104",
            "EURUSD 1m 2024-01-02T00:06:00Z 1.10421 1.1043 1.10401 1.10405 12000000",
            "EURUSD 1m 2024-01-02T00:07:00Z 1.10405 1.10419 1.10405 1.10417 55",
        ],
    );
    let eastern = [
        "EURUSD 1m 2024-01-01T22:05:00Z 1.10427 1.10429 1.10399 1.10421 104",
        "EURUSD 1m 2024-01-01T22:06:00Z 1.10421 1.1043 1.10401 1.10405 87",
        "EURUSD 1m 2024-01-01T22:07:00Z 1.10405 1.10419 1.10405 1.10417 55",
    ];
    let zone = ["--symbol", "EURUSD", "--timezone", "Europe/Athens"];
    let way = |more: &[&'static str]| [&["mt4.csv"][..], &zone, more].concat();
    assert_read(&way(&["--preset", "mt5"]), &[], &eastern);
    assert_read(
        &way(&["--columns", "date,clock,open,high,low,close,volume"]),
        &[],
        &eastern,
    );
    assert_read(
        &way(&["--columns", "date,time,open,high,low,close,volume"]),
        &[],
        &eastern,
    );
    assert_answered(
        &way(&[]),
        &["--columns date,clock,open,high,low,close,volume or --preset mt5"],
    );
}

#[test]
fn alpha_vantage() {
    // newest first, by the clock of New York
    assert_read(
        &[
            "alphavantage.csv",
            "--preset",
            "alphavantage",
            "--symbol",
            "IBM",
        ],
        &["the newest row comes first", "read as America/New_York"],
        &[
            "IBM 5m 2024-01-02T20:55:00Z 160.43 160.56 160.31 160.54 39804",
            "IBM 5m 2024-01-02T21:00:00Z 160.54 160.75 160.39 160.73 171203",
            "IBM 5m 2024-01-02T21:05:00Z 160.7 161 160.7 161 1063",
        ],
    );
    assert_read(
        &[
            "alphavantage.csv",
            "--symbol",
            "IBM",
            "--from",
            "2024-01-02T16:00",
            "--to",
            "2024-01-02T16:05",
        ],
        &[
            "times without an offset are read as UTC",
            "2 rows are outside",
        ],
        &["IBM 5m 2024-01-02T16:00:00Z 160.54 160.75 160.39 160.73 171203"],
    );
    let ways: [&[&str]; 2] = [
        &[
            "alphavantage_daily.csv",
            "--preset",
            "alphavantage",
            "--symbol",
            "IBM",
        ],
        &["alphavantage_daily.csv", "--symbol", "IBM"],
    ];
    assert_all_read(
        &ways,
        &["the newest row comes first"],
        &[
            "IBM 1d 2024-01-02T00:00:00Z 162.83 163.29 160.46 161.5 3825044",
            "IBM 1d 2024-01-03T00:00:00Z 161 161.73 160.08 160.1 4086065",
            "IBM 1d 2024-01-04T00:00:00Z 160.59 162.19 160.25 160.86 3212000",
        ],
    );
}

#[test]
fn polygon() {
    let ways: [&[&str]; 2] = [
        &["polygon.csv.gz", "--preset", "polygon"],
        &["polygon.csv.gz"],
    ];
    assert_all_read(
        &ways,
        &["the timeframe is 1m"],
        &[
            "AAPL 1m 2024-01-02T14:30:00Z 187.15 187.43 186.9 187.2 4930",
            "AAPL 1m 2024-01-02T14:31:00Z 187.2 187.6 187.1 187.5 1815",
            "AAPL 1m 2024-01-02T14:33:00Z 187.5 187.55 187.01 187.05 2210",
            "MSFT 1m 2024-01-02T14:30:00Z 373.86 374 373.5 373.9 1098",
            "MSFT 1m 2024-01-02T14:31:00Z 373.9 373.95 373.6 373.71 512",
        ],
    );
}

#[test]
fn databento() {
    for preset in [&["--preset", "databento"][..], &[]] {
        let output = replay(&[&["databento.csv"][..], preset].concat(), &[]);
        // the undefined price is no price
        let refused = "line 4: bad_price";
        assert!(said(&output).contains(refused), "{}", said(&output));
        assert_eq!(
            bars(&output),
            [
                "ESH1 1m 2020-12-28T13:00:00Z 372025 372050 372025 372050 57",
                "ESH1 1m 2020-12-28T13:01:00Z 372050 372150 372050 372150 23",
            ],
            "{}",
            said(&output)
        );
        assert_read(
            &[&["databento_pretty.csv"][..], preset].concat(),
            &[],
            &[
                "MYMM5 1s 2025-04-30T00:00:00Z 40653 40653 40647 40647 6",
                "MYMM5 1s 2025-04-30T00:00:01Z 40646 40647 40644 40644 6",
            ],
        );
    }
}

#[test]
fn dukascopy() {
    for preset in [&["--preset", "dukascopy"][..], &[]] {
        let options = ["--symbol", "EURUSD"];
        assert_read(
            &[&["dukascopy.csv"][..], &options, preset].concat(),
            &["the timeframe is 1m"],
            &[
                "EURUSD 1m 2024-01-02T00:00:00Z 1.10427 1.10432 1.10417 1.10431 58.8",
                "EURUSD 1m 2024-01-02T00:01:00Z 1.10431 1.10443 1.1043 1.10442 62.13",
                "EURUSD 1m 2024-01-02T00:02:00Z 1.10442 1.10442 1.10437 1.1044 29.7",
            ],
        );
        assert_read(
            &[&["dukascopy_local.csv"][..], &options, preset].concat(),
            &[],
            &[
                "EURUSD 1m 2024-01-02T00:00:00Z 1.10427 1.10432 1.10417 1.10431 58.8",
                "EURUSD 1m 2024-01-02T00:01:00Z 1.10431 1.10443 1.1043 1.10442 62.13",
            ],
        );
    }
    // `Gmt time` is in UTC, whatever the zone of others
    let output = replay(
        &["dukascopy.csv", "--symbol", "EURUSD"],
        &[("TECHNICAL_TIMEZONE", "America/New_York")],
    );
    assert!(
        bars(&output)[0].contains("2024-01-02T00:00:00Z"),
        "{}",
        said(&output)
    );
}

#[test]
fn crypto_data_download() {
    // the volume is that of the base currency
    let ways: [&[&str]; 2] = [
        &["cryptodatadownload.csv", "--preset", "cryptodatadownload"],
        &["cryptodatadownload.csv"],
    ];
    assert_all_read(
        &ways,
        &[
            "the header is line 2",
            "the newest row comes first",
            "the timeframe is 1h",
        ],
        &[
            "BTC/USDT 1h 2024-01-02T01:00:00Z 44500.7 45010.3 44480 45000 1210.77",
            "BTC/USDT 1h 2024-01-02T02:00:00Z 45000 45190.9 44910 45123.5 955.02",
            "BTC/USDT 1h 2024-01-02T03:00:00Z 45123.5 45260 45050.1 45200.2 812.4",
        ],
    );
}

#[test]
fn tushare() {
    for preset in [&["--preset", "tushare"][..], &[]] {
        assert_read(
            &[&["tushare.csv"][..], preset].concat(),
            &["the newest row comes first"],
            &[
                "000001.SZ 1d 2024-01-02T00:00:00Z 9.39 9.42 9.21 9.21 1158366.45",
                "000001.SZ 1d 2024-01-03T00:00:00Z 9.19 9.22 9.15 9.2 733610.31",
                "000001.SZ 1d 2024-01-04T00:00:00Z 9.19 9.19 9.08 9.11 864193.99",
            ],
        );
    }
    assert_read(
        &["tushare_minutes.csv", "--preset", "tushare"],
        &["read as Asia/Shanghai"],
        &[
            "000001.SZ 5m 2024-01-02T01:35:00Z 9.39 9.42 9.37 9.38 5422300",
            "000001.SZ 5m 2024-01-02T01:40:00Z 9.38 9.39 9.35 9.36 1803500",
        ],
    );
}
