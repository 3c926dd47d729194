//! Refused configurations and their messages.

use crate::World;

/// The variables that are set.
type Variables = &'static [(&'static str, &'static str)];

/// The variables that are set, and words that the message must contain.
const REFUSED: &[(Variables, &[&str])] = &[
    (
        &[("NATS_URL", "http://a")],
        &["NATS_URL=http://a", "scheme", "NATS_URL=nats://"],
    ),
    (&[("NATS_URL", "nats://a,,b")], &["NATS_URL", "empty item"]),
    (
        &[("NATS_URL", "ws://a")],
        &["NATS_URL", "nats:// or tls://"],
    ),
    (
        &[("NATS_CREDS_FILE", "/no.creds")],
        &["NATS_CREDS_FILE=/no.creds", "cannot be read"],
    ),
    (
        &[("NATS_TLS_CA", "/no.pem")],
        &["NATS_TLS_CA=/no.pem", "cannot be read"],
    ),
    (
        &[("NATS_TLS_CERT", "/here.pem")],
        &["NATS_TLS_CERT=/here.pem", "NATS_TLS_KEY (not set)"],
    ),
    (
        &[("NATS_TLS_KEY", "/here.pem")],
        &["NATS_TLS_CERT (not set)", "NATS_TLS_KEY=/here.pem"],
    ),
    (
        &[("NATS_USER", "bob")],
        &["NATS_USER=bob", "NATS_PASSWORD (not set)"],
    ),
    (
        &[("NATS_NKEY_SEED", "nonsense")],
        &["NATS_NKEY_SEED=*", "SU"],
    ),
    (
        &[("NATS_TOKEN", "t"), ("NATS_CREDS_FILE", "/here.pem")],
        &["NATS_CREDS_FILE=/here.pem", "NATS_TOKEN=*", "one kind"],
    ),
    (
        &[("NATS_URL", "nats://bob:pw@a"), ("NATS_TOKEN", "t")],
        &["NATS_URL=nats://bob:*", "NATS_TOKEN=*", "one kind"],
    ),
    (
        &[("NATS_CONNECT_TIMEOUT", "0")],
        &["NATS_CONNECT_TIMEOUT=0", "seconds"],
    ),
    (
        &[("LOG_LEVEL", "loud")],
        &["LOG_LEVEL=loud", "TRACE, DEBUG"],
    ),
    (
        &[("LOG_FORMAT", "xml")],
        &["LOG_FORMAT=xml", "auto, json, pretty"],
    ),
    (
        &[("SHUTDOWN_TIMEOUT", "soon")],
        &["SHUTDOWN_TIMEOUT=soon", "SHUTDOWN_TIMEOUT=10"],
    ),
    (
        &[("HTTP_ADDR", "localhost:8080")],
        &["HTTP_ADDR=localhost:8080", "IP address"],
    ),
    (
        &[("HTTP_ADMIN_TOKEN", "two words")],
        &["HTTP_ADMIN_TOKEN=*", "without spaces"],
    ),
    (
        &[("TECHNICAL_AGENT_NAME", "a\nb")],
        &["TECHNICAL_AGENT_NAME", "printable"],
    ),
    (
        &[("TECHNICAL_GROUP_SECRET", " , ")],
        &["TECHNICAL_GROUP_SECRET=*", "names no secret"],
    ),
    (
        &[(
            "TECHNICAL_GROUP_SECRET",
            "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
        )],
        &["TECHNICAL_GROUP_SECRET=*", "17 secrets", "at most 16"],
    ),
    (
        &[("TECHNICAL_PARTITIONS", "513")],
        &["TECHNICAL_PARTITIONS=513", "from 1 to 512"],
    ),
    (
        &[("TECHNICAL_DELIVERY", "fast")],
        &["TECHNICAL_DELIVERY=fast", "auto, core, durable"],
    ),
    (
        &[("TECHNICAL_SUBJECTS", "a.>,a.b")],
        &["TECHNICAL_SUBJECTS=a.>,a.b", "`a.>` and `a.b` overlap"],
    ),
    (
        &[("TECHNICAL_SUBJECTS", "a.>.b")],
        &["TECHNICAL_SUBJECTS", "wildcard"],
    ),
    (
        &[(
            "TECHNICAL_PUBLISH_SUBJECT",
            "raw.market_data.price.{symbol}",
        )],
        &[
            "TECHNICAL_PUBLISH_SUBJECT",
            "TECHNICAL_SUBJECTS",
            "read back",
        ],
    ),
    (
        &[
            ("NATS_JETSTREAM_DOMAIN", "hub"),
            ("NATS_JETSTREAM_PREFIX", "JS.market.API"),
        ],
        &[
            "NATS_JETSTREAM_DOMAIN",
            "NATS_JETSTREAM_PREFIX",
            "only one of the two",
        ],
    ),
    (
        &[("NATS_JETSTREAM_DOMAIN", "hub.east")],
        &["NATS_JETSTREAM_DOMAIN=hub.east", "one domain"],
    ),
    (
        &[("NATS_JETSTREAM_PREFIX", "JS.market.API.")],
        &["NATS_JETSTREAM_PREFIX=JS.market.API.", "single dots"],
    ),
    (
        &[("NATS_JETSTREAM_PREFIX", "JS.*.API")],
        &["NATS_JETSTREAM_PREFIX=JS.*.API", "without wildcards"],
    ),
    (
        &[("TECHNICAL_INPUT_STREAM", "TECHNICAL_BARS")],
        &[
            "TECHNICAL_INPUT_STREAM",
            "TECHNICAL_BARS_STREAM",
            "makes this stream itself",
        ],
    ),
    (
        &[("TECHNICAL_SUBJECTS", "insight.forming.>")],
        &[
            "TECHNICAL_FORMING_SUBJECT",
            "TECHNICAL_SUBJECTS",
            "read back",
        ],
    ),
    (
        &[("TECHNICAL_SUBJECTS", "dead.*")],
        &[
            "TECHNICAL_DEAD_LETTER_SUBJECT",
            "TECHNICAL_SUBJECTS",
            "read back",
        ],
    ),
    (
        &[(
            "TECHNICAL_FORMING_SUBJECT",
            "insight.technical.{symbol}.forming",
        )],
        &[
            "TECHNICAL_PUBLISH_SUBJECT",
            "TECHNICAL_FORMING_SUBJECT",
            "overlap",
        ],
    ),
    (
        &[("TECHNICAL_DEAD_LETTER_SUBJECT", "dead.{symbol}")],
        &["TECHNICAL_DEAD_LETTER_SUBJECT", "placeholders"],
    ),
    (
        &[("TECHNICAL_PUBLISH_SUBJECT", "a.{tf}")],
        &["TECHNICAL_PUBLISH_SUBJECT", "{symbol} and {timeframe}"],
    ),
    (
        &[("TECHNICAL_DEFAULT_TIMEFRAME", "2y")],
        &["TECHNICAL_DEFAULT_TIMEFRAME=2y", "1d, 2d, 3d"],
    ),
    (
        &[("TECHNICAL_TIMEZONE", "Mars/Olympus")],
        &["TECHNICAL_TIMEZONE=Mars/Olympus", "America/New_York"],
    ),
    (
        &[("TECHNICAL_SESSION", "18:00-17:00 America/Chicago")],
        &["TECHNICAL_SESSION=18:00-17:00", "across midnight"],
    ),
    (
        &[("TECHNICAL_SESSION", "10:00-16:00 Australia/Sydney")],
        &[
            "TECHNICAL_SESSION=10:00-16:00 Australia/Sydney",
            "TECHNICAL_CALENDAR=UTC",
            "set TECHNICAL_CALENDAR=Australia/Sydney",
        ],
    ),
    (
        &[("TECHNICAL_TIMESTAMP", "end")],
        &["TECHNICAL_TIMESTAMP=end", "open, close"],
    ),
    (
        &[("TECHNICAL_GRID", "off")],
        &["TECHNICAL_GRID=off", "refuse, accept"],
    ),
    (
        &[("TECHNICAL_PRICES", "negative")],
        &["TECHNICAL_PRICES=negative", "positive, any"],
    ),
    (
        &[("TECHNICAL_RSI_PERIOD", "1")],
        &["TECHNICAL_RSI_PERIOD=1", "from 2 to"],
    ),
    (
        &[("TECHNICAL_RSI_PERIOD", "+14")],
        &["TECHNICAL_RSI_PERIOD=+14", "whole number"],
    ),
    (
        &[("TECHNICAL_SMA_LONG", "0")],
        &["TECHNICAL_SMA_LONG=0", "from 1 to"],
    ),
    (
        &[("TECHNICAL_BB_STD", "0")],
        &["TECHNICAL_BB_STD=0", "above 0"],
    ),
    (
        &[("TECHNICAL_BB_STD", "NaN")],
        &["TECHNICAL_BB_STD=NaN", "above 0"],
    ),
    (
        &[("TECHNICAL_MACD_FAST", "26")],
        &[
            "TECHNICAL_MACD_FAST=26 (environment)",
            "TECHNICAL_MACD_SLOW=26 (default)",
            "below",
        ],
    ),
    (
        &[
            ("TECHNICAL_SERIES_IDLE_SECS", "3599"),
            ("TECHNICAL_DEFAULT_TIMEFRAME", "1h"),
        ],
        &[
            "TECHNICAL_SERIES_IDLE_SECS=3599",
            "TECHNICAL_DEFAULT_TIMEFRAME=1h",
            "at least one timeframe",
        ],
    ),
    (
        &[("TECHNICAL_SMA_SHORT", "60")],
        &["TECHNICAL_SMA_SHORT=60", "TECHNICAL_SMA_LONG=50"],
    ),
    (
        &[("TECHNICAL_EMA_LONG", "5")],
        &["TECHNICAL_EMA_SHORT=12", "TECHNICAL_EMA_LONG=5"],
    ),
    (
        &[("TECHNICAL_RSI_OVERSOLD", "80")],
        &["TECHNICAL_RSI_OVERSOLD=80", "TECHNICAL_RSI_OVERBOUGHT=70"],
    ),
    (
        &[("TECHNICAL_RSI_OVERBOUGHT", "101")],
        &["TECHNICAL_RSI_OVERBOUGHT=101", "from 0 to 100"],
    ),
    (
        &[("TECHNICAL_MIN_BARS_REQUIRED", "201")],
        &[
            "TECHNICAL_DATA_WINDOW_SIZE=200",
            "TECHNICAL_MIN_BARS_REQUIRED=201",
        ],
    ),
    (
        &[("TECHNICAL_SMA_LONG", "201")],
        &[
            "TECHNICAL_DATA_WINDOW_SIZE=200",
            "TECHNICAL_SMA_LONG=201",
            "201 bars",
        ],
    ),
    (
        &[("TECHNICAL_RSI_PERIOD", "200")],
        &[
            "TECHNICAL_DATA_WINDOW_SIZE=200",
            "TECHNICAL_RSI_PERIOD=200",
            "201 bars",
        ],
    ),
    (
        &[
            ("TECHNICAL_MACD_SLOW", "192"),
            ("TECHNICAL_MACD_SIGNAL", "10"),
        ],
        &[
            "TECHNICAL_DATA_WINDOW_SIZE=200",
            "TECHNICAL_MACD_SLOW=192",
            "TECHNICAL_MACD_SIGNAL=10",
            "201 bars",
        ],
    ),
    (
        &[("TECHNICAL_DATA_WINDOW_SIZE", "1000000")],
        &["TECHNICAL_DATA_WINDOW_SIZE=1000000", "to 10000"],
    ),
    (
        &[("TECHNICAL_MAX_PAYLOAD_BYTES", "12")],
        &["TECHNICAL_MAX_PAYLOAD_BYTES=12", "1024"],
    ),
    (
        &[("TECHNICAL_STREAM_STORAGE", "tape")],
        &["TECHNICAL_STREAM_STORAGE=tape", "file, memory"],
    ),
    (
        &[("TECHNICAL_BARS_STREAM", "a.b")],
        &["TECHNICAL_BARS_STREAM=a.b"],
    ),
    (
        &[("TECHNICAL_BARS_STREAM", "TECHNICAL_SIGNALS")],
        &[
            "TECHNICAL_BARS_STREAM",
            "TECHNICAL_SIGNALS_STREAM",
            "a stream each",
        ],
    ),
    (
        &[("TECHNICAL_BARS_PER_SERIES", "399")],
        &[
            "TECHNICAL_BARS_PER_SERIES=399",
            "TECHNICAL_DATA_WINDOW_SIZE=200",
        ],
    ),
    (
        &[("TECHNICAL_LEASE_SECS", "1")],
        &["TECHNICAL_LEASE_SECS=1", "from 2 to"],
    ),
];

#[test]
fn each_broken_rule_names_its_keys_the_value_the_reason_and_an_example() {
    for (variables, words) in REFUSED {
        let world = World::of(variables).file("/here.pem", "x");
        let Err(error) = world.load() else {
            panic!("{variables:?} is accepted")
        };
        assert_eq!(error.violations.len(), 1, "{error}");
        let shown = error.violations[0].to_string();
        for word in *words {
            assert!(shown.contains(word), "`{word}` is missing in: {shown}");
        }
        assert!(shown.contains("; for example "), "{shown}");
    }
}

#[test]
fn values_at_the_edge_of_a_rule_are_accepted() {
    for variables in [
        &[("TECHNICAL_RSI_PERIOD", "199")][..],
        &[("TECHNICAL_SMA_LONG", "200")],
        &[
            ("TECHNICAL_MACD_SLOW", "191"),
            ("TECHNICAL_MACD_SIGNAL", "10"),
        ],
        &[("TECHNICAL_MIN_BARS_REQUIRED", "200")],
        &[("TECHNICAL_BARS_PER_SERIES", "400")],
        &[
            ("TECHNICAL_RSI_OVERBOUGHT", "100"),
            ("TECHNICAL_RSI_OVERSOLD", "0"),
        ],
        &[("TECHNICAL_PUBLISH_SUBJECT", "insight.technical")],
        &[
            ("LOG_LEVEL", "async_nats=trace,info"),
            ("LOG_FORMAT", "JSON"),
        ],
        &[("NATS_URL", "localhost, tls://b:4223")],
        &[("HTTP_ADDR", "[::1]:0")],
    ] {
        if let Err(error) = World::of(variables).load() {
            panic!("{variables:?}: {error}");
        }
    }
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let error = World::of(&[
        ("TECHNICAL_RSI_PERIOD", "x"),
        ("TECHNICAL_BB_STD", "-1"),
        ("TECHNICAL_MACD_FAST", "40"),
        ("NATS_USER", "bob"),
        ("TECHNICAL_RSI_PEROID", "9"),
    ])
    .file(".env", "SHUTDOWN_TIMEOUT=never\nnot a setting\n")
    .load()
    .unwrap_err();
    assert_eq!(error.violations.len(), 6, "{error}");
    let shown = error.to_string();
    for words in [
        "has 6 errors",
        "TECHNICAL_RSI_PERIOD=x (environment)",
        "TECHNICAL_BB_STD=-1",
        "TECHNICAL_MACD_FAST=40",
        "NATS_PASSWORD (not set)",
        "SHUTDOWN_TIMEOUT=never (.env)",
        ".env line 2",
        "warning: TECHNICAL_RSI_PEROID",
    ] {
        assert!(shown.contains(words), "`{words}` is missing in: {shown}");
    }
}

#[test]
fn a_refused_value_is_not_blamed_again_by_the_rules_that_need_it() {
    let error = World::of(&[("TECHNICAL_MACD_SLOW", "zero")])
        .load()
        .unwrap_err();
    assert_eq!(error.violations.len(), 1, "{error}");
}

#[test]
fn what_is_missing_is_reported_though_its_other_half_is_refused_as_well() {
    let error = World::of(&[
        ("NATS_TLS_CERT", "/no.pem"),
        ("NATS_TOKEN", "t"),
        ("NATS_CREDS_FILE", "/no.creds"),
    ])
    .load()
    .unwrap_err();
    let shown = error.to_string();
    assert_eq!(error.violations.len(), 4, "{shown}");
    for words in [
        "NATS_TLS_CERT=/no.pem (environment): the file",
        "NATS_CREDS_FILE=/no.creds (environment): the file",
        "NATS_TLS_KEY (not set): certificate and key",
        "only one kind of authentication",
    ] {
        assert!(shown.contains(words), "`{words}` is missing in: {shown}");
    }
}
