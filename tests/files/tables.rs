//! Files of other shapes: Parquet, spreadsheets, JSON, and headers and times that are not understood.

use super::*;

#[cfg(feature = "parquet")]
#[test]
fn parquet() {
    let daily = [
        "AAPL 1d 2024-01-02T00:00:00Z 187.15 188.44 183.89 185.64 82488700",
        "AAPL 1d 2024-01-03T00:00:00Z 184.22 185.88 183.43 184.25 58414500",
        "AAPL 1d 2024-01-04T00:00:00Z 182.15 183.09 180.88 181.91 71983600",
    ];
    assert_read(
        &["pandas_daily.parquet", "--symbol", "AAPL"],
        &["the timeframe is 1d"],
        &daily,
    );
    // the order of its columns, the index last
    let columns = "open,high,low,close,-,volume,-,time";
    assert_read(
        &[
            "pandas_daily.parquet",
            "--symbol",
            "AAPL",
            "--columns",
            columns,
        ],
        &[],
        &daily,
    );
    assert_answered(&["pandas_daily.parquet"], &["--symbol"]);
    let output = replay(
        &[
            "pandas_daily.parquet",
            "--symbol",
            "AAPL",
            "--timezone",
            "America/New_York",
        ],
        &[],
    );
    assert!(
        bars(&output)[0].contains("2024-01-02T05:00:00Z"),
        "{}",
        said(&output)
    );
    // newest first, single precision, a null among the prices
    assert_read(
        &["arrow_minutes.parquet"],
        &["the newest row comes first", "1 refused (missing_field 1)"],
        &[
            "ES 1m 2024-01-02T14:30:00Z 0.1 0.3 0.1 0.2 9",
            "ES 1m 2024-01-02T14:32:00Z 1.5 2.5 1 2 7",
        ],
    );
    // as from a pipe
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/files/arrow_minutes.parquet");
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .args(["replay", "-"])
        .env_clear()
        .env("TECHNICAL_MIN_BARS_REQUIRED", "1")
        .current_dir(tempfile::tempdir().unwrap().path())
        .stdin(std::fs::File::open(&path).unwrap())
        .output()
        .unwrap();
    assert_eq!(bars(&output).len(), 2, "{}", said(&output));
    // cut off
    let bytes = std::fs::read(&path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.parquet");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    assert_answered(
        &[cut.to_str().unwrap()],
        &["the Parquet file cannot be read"],
    );
}

#[test]
fn spreadsheets_and_other_sites() {
    assert_read(
        &["excel_de.csv", "--symbol", "X"],
        &["decimal comma"],
        &[
            "X 1d 2024-01-02T00:00:00Z 1187.15 1188.44 1183.89 1185.64 82488700",
            "X 1d 2024-01-03T00:00:00Z 1184.22 1185.88 1183.43 1184.25 58414500",
            "X 1d 2024-01-04T00:00:00Z 1182.15 1183.09 1180.88 1181.91 71983600",
        ],
    );
    assert_read(
        &["investing.csv", "--symbol", "SPX"],
        &["month first", "the newest row comes first"],
        &[
            "SPX 1d 2024-01-11T00:00:00Z 4792.13 4798.5 4739.58 4780.24 0",
            "SPX 1d 2024-01-12T00:00:00Z 4791.18 4802.4 4768.98 4783.83 1998400",
            "SPX 1d 2024-01-16T00:00:00Z 4772.35 4782.34 4747.12 4765.98 2050000",
        ],
    );
    assert_read(
        &["nasdaq.csv", "--symbol", "AAPL"],
        &["month first"],
        &[
            "AAPL 1d 2024-01-11T00:00:00Z 186.54 187.05 183.62 185.59 49128410",
            "AAPL 1d 2024-01-12T00:00:00Z 186.06 186.74 185.19 185.92 40477780",
            "AAPL 1d 2024-01-16T00:00:00Z 182.16 184.26 180.934 183.63 65603040",
        ],
    );
    // the time at the close, beside the one at the open, is not that of the bar
    assert_read(
        &["coinmarketcap.csv", "--symbol", "BTC"],
        &[],
        &[
            "BTC 1d 2024-01-02T00:00:00Z 44187.1 45899.7 44176.9 44957.9 39335274535.2",
            "BTC 1d 2024-01-03T00:00:00Z 44961.6 45503.2 40813.5 42848.1 46342323117.5",
        ],
    );
    let es = [
        "ES 1m 2024-01-02T14:30:00Z 4784.25 4786.5 4783.75 4785 1204",
        "ES 1m 2024-01-02T14:31:00Z 4785 4787.25 4784.5 4786.75 988",
    ];
    let columns = "time,open,high,low,close,volume";
    let zone = ["--symbol", "ES", "--timezone", "America/New_York"];
    let way = |more: &[&'static str]| [&["ninjatrader.txt"][..], &zone, more].concat();
    assert_read(&way(&["--columns", columns]), &[], &es);
    assert_answered(&way(&[]), &["--columns time,open,high,low,close,volume"]);
}

/// Replays a text under the name `name`.
fn replay_text(name: &str, text: &str, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    replay(&[&[path][..], arguments].concat(), &[])
}

#[test]
fn a_header_that_is_not_understood_is_answered_with_what_was_found() {
    let x = ["--symbol", "X"];
    for (text, words) in [
        (
            "when;first;top;bottom;end;size\n2024-01-02;1;2;0,5;1,5;7\n",
            &[
                "no column has a known name",
                "`when`, `first`",
                "--columns time,open,high,low,close,volume",
            ][..],
        ),
        (
            "date,open,high,low,adj close\n2024-01-02,1,2,1,2\n",
            &[
                "names no close",
                "`adj close`",
                "--columns time,open,high,low",
            ],
        ),
        (
            "a,b\n",
            &["no column has a known name", "`a`, `b`", "--columns"],
        ),
        (
            "time,close,close\n1704067200,1,2\n",
            &[
                "2 `close` and 3 `close` mean the same",
                "--columns time,close",
            ],
        ),
    ] {
        let output = replay_text("x.csv", text, &x);
        assert_eq!(output.status.code(), Some(65), "{text}");
        for word in words {
            assert!(
                said(&output).contains(word),
                "{text}: `{word}` is missing in {}",
                said(&output)
            );
        }
    }
    let named = [&x[..], &["--columns", "time,open,high,low,close,volume"]].concat();
    let output = replay_text(
        "x.csv",
        "when;first;top;bottom;end;size\n2024-01-02;1;2;0,5;1,5;7\n",
        &named,
    );
    assert_eq!(
        bars(&output),
        ["X 1d 2024-01-02T00:00:00Z 1 2 0.5 1.5 7"],
        "{}",
        said(&output)
    );
    for (columns, word) in [
        ("time,open,high,low,clsoe", "`clsoe` is no column"),
        ("open,close", "no time"),
    ] {
        let output = replay_text(
            "x.csv",
            "1704067200,1,2,1,2\n",
            &["--symbol", "X", "--columns", columns],
        );
        assert_eq!(output.status.code(), Some(65), "{columns}");
        assert!(said(&output).contains(word), "{}", said(&output));
    }
    for (name, text, word) in [
        ("x.csv", "", "no bars"),
        ("x.csv", "<!DOCTYPE html><html>", "web page"),
        ("x.csv", "PK\u{3}\u{4}abcdef", "ZIP"),
    ] {
        let output = replay_text(name, text, &x);
        assert_eq!(output.status.code(), Some(65), "{text}");
        assert!(said(&output).contains(word), "{}", said(&output));
    }
}

#[test]
fn times_that_a_spreadsheet_has_spoiled_are_told() {
    let rows = |time: &dyn Fn(u32) -> String| -> String {
        let rows: String = (0..60)
            .map(|at| {
                format!(
                    "{},1,2,1,{}\n",
                    time(at),
                    f64::from(at % 7).mul_add(0.1, 1.0)
                )
            })
            .collect();
        format!("time,open,high,low,close\n{rows}")
    };
    let shortened = rows(&|at| {
        if at < 30 {
            "1.70415E+12"
        } else {
            "1.70416E+12"
        }
        .to_owned()
    });
    let output = replay_text("x.csv", &shortened, &["--symbol", "X", "--timeframe", "1m"]);
    for words in [
        "58 of 60 rows",
        "only 2 different times",
        "`1.70415E+12`",
        "export the times as text",
    ] {
        assert!(
            said(&output).contains(words),
            "`{words}` is missing in {}",
            said(&output)
        );
    }
    let output = replay_text("x.csv", &shortened, &["--symbol", "X"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(
        said(&output).contains("60 rows, 2 different times"),
        "{}",
        said(&output)
    );

    let serials = rows(&|at| (45_293 + at).to_string());
    let output = replay_text("x.csv", &serials, &["--symbol", "X"]);
    assert_eq!(output.status.code(), Some(65));
    for words in [
        "60 refused (bad_timestamp 60)",
        "2024-01-02T00:00:00Z",
        "--time-format excel",
    ] {
        assert!(
            said(&output).contains(words),
            "`{words}` is missing in {}",
            said(&output)
        );
    }
    let output = replay_text(
        "x.csv",
        &serials,
        &["--symbol", "X", "--time-format", "excel"],
    );
    assert!(
        bars(&output)[59].starts_with("X 1d 2024-03-01T00:00:00Z"),
        "{}",
        said(&output)
    );

    let output = replay_text(
        "x.csv",
        "date,close,open,high,low\n01/02/2024,1,1,1,1\n",
        &["--symbol", "X"],
    );
    assert_eq!(output.status.code(), Some(65));
    assert!(
        said(&output).contains("2024-02-01 or 2024-01-02"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_days_bar_at_new_york_midnight_is_one_day_over_the_change_of_clocks() {
    let days = ["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12"];
    let rows: String = days.iter().map(|day| format!("{day},1,2,1,2\n")).collect();
    let text = format!("date,open,high,low,close\n{rows}");
    let output = replay_text(
        "x.csv",
        &text,
        &["--symbol", "X", "--timezone", "America/New_York"],
    );
    let times = [
        "2024-03-07T05:00:00Z",
        "2024-03-08T05:00:00Z",
        "2024-03-11T04:00:00Z",
        "2024-03-12T04:00:00Z",
    ];
    let expected = times.map(|time| format!("X 1d {time} 1 2 1 2 0"));
    assert_eq!(bars(&output), expected, "{}", said(&output));
    let signals = std::str::from_utf8(&output.stdout).unwrap();
    let gaps: Vec<u64> = signals
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["gap_bars"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(gaps, [0, 0, 2, 0]);
}

#[test]
fn json_is_read_over_lines_and_beyond_the_size_of_a_message() {
    let bar = |at: u32| {
        let time = 1_704_067_200 + 60 * at;
        format!(r#"{{"symbol":"X","timeframe":"1m","t":{time},"o":1,"h":2,"l":1,"c":2,"v":{at}}}"#)
    };
    let all: Vec<String> = (0..10_000).map(bar).collect();
    let one_line = format!("[{}]", all.join(","));
    assert!(one_line.len() > 262_144);
    for text in [
        one_line,
        format!("[\n  {}\n]\n", all.join(",\n  ")),
        all.join("\n"),
    ] {
        let output = replay_text("x.json", &text, &[]);
        assert!(said(&output).contains("10000 bars"), "{}", said(&output));
    }
    let pretty = "{\n  \"symbol\": \"X\",\n  \"timeframe\": \"1m\",\n  \"t\": 1704067200,\n  \"o\": 1, \"h\": 2,\n  \"l\": 1, \"c\": 2\n}\n";
    let output = replay_text("x", pretty, &["--from", "2024-01-01", "--to", "2024-01-02"]);
    assert_eq!(
        bars(&output),
        ["X 1m 2024-01-01T00:00:00Z 1 2 1 2 0"],
        "{}",
        said(&output)
    );
    let output = replay_text("x", pretty, &["--from", "2024-01-01T00:00:01Z"]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
}

#[test]
fn an_answer_of_a_service_with_its_newest_bar_first_is_put_in_order() {
    let bar = |day: u32| {
        format!(
            "  {{\n    \"date\": \"2024-01-0{day}\",\n    \"open\": {day}.5,\n    \"high\": {day}.9,\n    \"low\": {day}.1,\n    \"close\": {day}.4,\n    \"volume\": {day}\n  }}"
        )
    };
    let read = |days: &[u32]| {
        let bars: Vec<String> = days.iter().map(|day| bar(*day)).collect();
        let text = format!("[\n{}\n]\n", bars.join(",\n"));
        replay_text(
            "answer.json",
            &text,
            &["--symbol", "A", "--timeframe", "1d"],
        )
    };
    let newest_first = read(&[5, 4, 3, 2]);
    let days = [
        "A 1d 2024-01-02T00:00:00Z 2.5 2.9 2.1 2.4 2",
        "A 1d 2024-01-03T00:00:00Z 3.5 3.9 3.1 3.4 3",
        "A 1d 2024-01-04T00:00:00Z 4.5 4.9 4.1 4.4 4",
        "A 1d 2024-01-05T00:00:00Z 5.5 5.9 5.1 5.4 5",
    ];
    assert_eq!(bars(&newest_first), days, "{}", said(&newest_first));
    assert!(
        said(&newest_first).contains("put in it"),
        "{}",
        said(&newest_first)
    );
    let oldest_first = read(&[2, 3, 4, 5]);
    assert_eq!(oldest_first.stdout, newest_first.stdout);
    assert!(
        !said(&oldest_first).contains("put in it"),
        "{}",
        said(&oldest_first)
    );
}

#[test]
fn a_table_whose_volume_is_not_known_says_so() {
    let table = |name: &str| {
        format!("Date,Open,High,Low,Close,{name}\n2024-01-02,1,2,1,2,7\n2024-01-03,1,2,1,2,8\n")
    };
    let unknown = replay_text("x.csv", &table("Handel"), &["--symbol", "A"]);
    assert!(bars(&unknown)[0].ends_with(" 0"), "{}", said(&unknown));
    assert!(
        said(&unknown).contains("`Handel` is not read"),
        "{}",
        said(&unknown)
    );
    assert!(said(&unknown).contains("--columns"), "{}", said(&unknown));
    let columns = [
        "--symbol",
        "A",
        "--columns",
        "time,open,high,low,close,volume",
    ];
    for (name, arguments) in [("Handel", &columns[..]), ("Stück", &columns[..2])] {
        let known = replay_text("x.csv", &table(name), arguments);
        assert!(bars(&known)[0].ends_with(" 7"), "{}", said(&known));
        assert!(!said(&known).contains("is not read"), "{}", said(&known));
    }
}
