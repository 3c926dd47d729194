//! The rules of the configuration, read from an environment that exists only in the test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use technical_analysis_agent::config::{
    Auth, Config, ConfigError, Delivery, Environment, MASK, Source, keys,
};

/// An environment made of texts.
#[derive(Default)]
struct World {
    variables: Vec<(OsString, OsString)>,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl World {
    fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            variables,
            ..Self::default()
        }
    }

    fn file(mut self, path: &'static str, content: &str) -> Self {
        self.files.insert(path, content.as_bytes().to_vec());
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self)
    }
}

impl Environment for World {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.variables.clone()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = path.to_str().and_then(|path| self.files.get(path));
        content
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn host(&self) -> String {
        "node-7".to_owned()
    }

    fn pid(&self) -> u32 {
        4711
    }
}

fn setting(config: &Config, key: &str) -> (Option<String>, Source) {
    let found = config.settings.iter().find(|s| s.key == key).unwrap();
    (found.value.clone(), found.source)
}

#[test]
fn without_any_setting_the_defaults_of_the_contract_hold() {
    let config = World::default().load().unwrap();
    assert_eq!(config.nats.servers[0].host(), "localhost");
    assert_eq!(config.nats.servers[0].port(), 4222);
    assert_eq!(config.nats.auth, Auth::None);
    assert_eq!(config.nats.connect_timeout, None);
    assert_eq!(config.shutdown_timeout, Duration::from_secs(25));
    assert_eq!(config.http.addr, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.http.admin_token, None);
    assert_eq!(config.group, "technical-analysis");
    assert_eq!(config.agent_name, "technical-analysis-node-7-4711");
    assert_eq!(config.delivery, Delivery::Auto);
    let subjects: Vec<&str> = config.subjects.iter().map(|s| s.as_str()).collect();
    assert_eq!(
        subjects,
        ["raw.market_data.price", "raw.market_data.price.>"]
    );
    assert_eq!(
        config.publish_subject.as_str(),
        "insight.technical.{symbol}.{timeframe}"
    );
    assert_eq!(config.dead_letter_subject, "dead.technical");
    assert_eq!(config.default_timeframe.to_string(), "1m");
    assert_eq!(
        config.analysis,
        technical_analysis_agent::engine::AnalysisConfig::default()
    );
    assert_eq!(config.max_series, 100_000);
    assert_eq!(config.series_idle, None);
    assert_eq!(config.max_payload_bytes, 262_144);
    assert_eq!(config.durable.partitions, 32);
    assert_eq!(config.durable.bars_per_series, 1_000);
    assert_eq!(
        config.durable.bars_max_age,
        Duration::from_secs(30 * 86_400)
    );
    assert_eq!(
        config.durable.signals_max_age,
        Duration::from_secs(7 * 86_400)
    );
    assert_eq!(config.durable.bars_max_bytes, None);
    assert_eq!(config.durable.lease, Duration::from_secs(6));
    assert!(config.warnings.is_empty());
    assert!(config.settings.iter().all(|s| s.source == Source::Default));
}

#[test]
fn the_environment_comes_before_dot_env_and_an_empty_value_is_as_if_unset() {
    let config = World::of(&[
        ("TECHNICAL_RSI_PERIOD", "7"),
        ("TECHNICAL_BB_PERIOD", ""),
        ("TECHNICAL_SMA_SHORT", "  "),
    ])
    .file(
        ".env",
        "TECHNICAL_RSI_PERIOD=9\nexport TECHNICAL_BB_PERIOD=\"25\" # wider\nTECHNICAL_SMA_SHORT=\nNATS_USER=\n",
    )
    .load()
    .unwrap();
    assert_eq!(config.analysis.rsi_period, 7);
    assert_eq!(config.analysis.bb_period, 25);
    assert_eq!(config.analysis.sma_short, 20);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        setting(&config, "TECHNICAL_RSI_PERIOD"),
        (text("7"), Source::Environment)
    );
    assert_eq!(
        setting(&config, "TECHNICAL_BB_PERIOD"),
        (text("25"), Source::DotEnv)
    );
    assert_eq!(
        setting(&config, "TECHNICAL_SMA_SHORT"),
        (text("20"), Source::Default)
    );
    assert_eq!(setting(&config, "NATS_USER"), (None, Source::Default));
    assert_eq!(
        config.summary(),
        "TECHNICAL_RSI_PERIOD=7 TECHNICAL_BB_PERIOD=25"
    );
}

/// What is set.
type Variables = &'static [(&'static str, &'static str)];

/// What is set, and words that the message must contain.
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
        &[("TECHNICAL_DELIVERY", "durable")],
        &[
            "TECHNICAL_DELIVERY=durable",
            "not available in this version yet",
            "core",
        ],
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
        &[("TECHNICAL_DEFAULT_TIMEFRAME", "2d")],
        &["TECHNICAL_DEFAULT_TIMEFRAME=2d", "1h…12h"],
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
fn an_unknown_variable_is_named_with_the_nearest_known_one() {
    let config = World::of(&[("TECHNICAL_RSI_PEROID", "9"), ("OTHER_THING", "1")])
        .file(".env", "TECHNICAL_SUBJECT=a\nUNRELATED=1\n")
        .load()
        .unwrap();
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("TECHNICAL_RSI_PEROID (environment)"));
    assert!(config.warnings[0].ends_with("TECHNICAL_RSI_PERIOD"));
    assert!(config.warnings[1].contains("TECHNICAL_SUBJECT (.env)"));
    assert!(config.warnings[1].ends_with("TECHNICAL_SUBJECTS"));
}

#[test]
fn what_kubernetes_injects_for_a_service_is_no_unknown_variable() {
    let config = World::of(&[
        ("TECHNICAL_ANALYSIS_SERVICE_HOST", "10.0.0.1"),
        ("TECHNICAL_ANALYSIS_SERVICE_PORT", "8080"),
        ("TECHNICAL_ANALYSIS_SERVICE_PORT_HTTP", "8080"),
        ("TECHNICAL_ANALYSIS_PORT", "tcp://10.0.0.1:8080"),
        ("TECHNICAL_ANALYSIS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TECHNICAL_ANALYSIS_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ])
    .load()
    .unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_secret_may_come_from_a_file_and_is_masked_wherever_it_is_shown() {
    let config = World::of(&[
        ("NATS_URL", "nats://localhost:4222"),
        ("NATS_USER", "bob"),
        ("NATS_PASSWORD_FILE", "/run/secrets/nats"),
        ("HTTP_ADMIN_TOKEN", "letmein"),
    ])
    .file("/run/secrets/nats", "hunter2 \n")
    .load()
    .unwrap();
    let Auth::UserPassword { user, password } = &config.nats.auth else {
        panic!("{:?}", config.nats.auth)
    };
    assert_eq!((user.as_str(), password.reveal()), ("bob", "hunter2 "));
    let json = config.json().unwrap();
    for shown in [
        config.table(),
        json,
        config.summary(),
        format!("{config:?}"),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("letmein"), "{shown}");
    }
    assert_eq!(
        setting(&config, "NATS_PASSWORD"),
        (Some(MASK.to_owned()), Source::Environment)
    );
    assert_eq!(
        setting(&config, "NATS_PASSWORD_FILE").0.as_deref(),
        Some("/run/secrets/nats")
    );
}

#[test]
fn a_password_in_a_url_is_masked_wherever_it_is_shown() {
    let config = World::of(&[("NATS_URL", "nats://bob:hunter2@a,nats://b")])
        .load()
        .unwrap();
    assert_eq!(config.nats.servers[0].password(), Some("hunter2"));
    for shown in [config.table(), config.summary(), format!("{config:?}")] {
        assert!(
            shown.contains("bob") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn a_secret_file_must_be_readable_and_alone() {
    let violation = |world: World| {
        let error = world.load().unwrap_err();
        assert_eq!(error.violations.len(), 1, "{error}");
        error.violations[0].to_string()
    };
    let shown = violation(World::of(&[("NATS_TOKEN_FILE", "/missing")]));
    assert!(
        shown.contains("/missing") && shown.contains("NATS_TOKEN_FILE"),
        "{shown}"
    );
    let shown = violation(
        World::of(&[("NATS_TOKEN_FILE", "/t"), ("NATS_TOKEN", "abcdef")]).file("/t", "x"),
    );
    assert!(
        shown.contains("NATS_TOKEN_FILE=/t") && !shown.contains("abcdef"),
        "{shown}"
    );
    let shown = violation(World::of(&[("NATS_TOKEN_FILE", "/t")]).file("/t", "\n"));
    assert!(shown.contains("empty"), "{shown}");
}

#[test]
fn a_dot_env_that_cannot_be_parsed_is_named_by_line_and_not_shown() {
    let load = |text: &str| World::default().file(".env", text).load().unwrap_err();
    let error = load("# fine\nLOG_LEVEL=debug\nNATS_TOKEN=two words\n\nwhat\n");
    let shown = error.to_string();
    assert_eq!(error.violations.len(), 2, "{shown}");
    assert!(
        shown.contains(".env line 3") && shown.contains(".env line 5"),
        "{shown}"
    );
    assert!(!shown.contains("two words"), "{shown}");
    let shown = load("LOG_LEVEL=info\nNATS_TOKEN=\"open\nLOG_FORMAT=json\n").to_string();
    assert!(shown.contains(".env line 2"), "{shown}");
}

#[test]
#[cfg(unix)]
fn a_value_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let mut world = World::default();
    let value = OsString::from_vec(vec![0xff, b'a']);
    world.variables.push(("TECHNICAL_GROUP".into(), value));
    let shown = world.load().unwrap_err().to_string();
    assert!(
        shown.contains("TECHNICAL_GROUP") && shown.contains("UTF-8"),
        "{shown}"
    );
}

#[test]
fn a_derived_agent_name_fits_and_keeps_what_makes_it_unique() {
    let group = "é".repeat(64);
    let config = World::of(&[("TECHNICAL_GROUP", &group)]).load().unwrap();
    assert!(
        config.agent_name.len() <= 128,
        "{}",
        config.agent_name.len()
    );
    assert!(config.agent_name.ends_with("é-node-7-4711"));
}

#[test]
fn every_example_and_the_whole_example_file_are_valid() {
    let values: Vec<(&str, &str)> = keys::all()
        .filter(|key| !key.name.starts_with("NATS_"))
        .map(|key| (key.name, key.example))
        .collect();
    World::of(&values).load().unwrap();
    for group in [
        &[
            "NATS_URL",
            "NATS_CREDS_FILE",
            "NATS_TLS_CA",
            "NATS_CONNECT_TIMEOUT",
        ][..],
        &["NATS_NKEY_SEED", "NATS_TLS_CERT", "NATS_TLS_KEY"],
        &["NATS_USER", "NATS_PASSWORD"],
        &["NATS_TOKEN"],
    ] {
        let values: Vec<(&str, &str)> = group
            .iter()
            .map(|name| (*name, keys::find(name).unwrap().example))
            .collect();
        World::of(&values)
            .file("/etc/nats/agent.creds", "x")
            .file("/etc/nats/ca.pem", "x")
            .file("/etc/nats/client.pem", "x")
            .file("/etc/nats/client-key.pem", "x")
            .load()
            .unwrap();
    }
    let uncommented: String = technical_analysis_agent::config::env_example()
        .lines()
        .filter_map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with([' ', '#']))
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let world = World::default().file(".env", Box::leak(uncommented.into_boxed_str()));
    let from_file = world.load().unwrap();
    let defaults = World::default().load().unwrap();
    for (a, b) in from_file.settings.iter().zip(&defaults.settings) {
        assert_eq!((&a.key, &a.value), (&b.key, &b.value));
    }
}

#[test]
fn the_example_file_lists_every_variable_as_the_program_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let expected = technical_analysis_agent::config::env_example();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let actual = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        actual, expected,
        "run the tests with UPDATE_DOCS=1 to write it anew"
    );
}

#[test]
fn the_markdown_table_has_a_row_for_every_variable() {
    let table = technical_analysis_agent::config::markdown_table();
    assert!(
        table.contains("| `TECHNICAL_RSI_PERIOD` | `14` |"),
        "{table}"
    );
    assert!(
        table.contains("| `NATS_TOKEN` (or `NATS_TOKEN_FILE`) | – |"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 2 + keys::all().count());
}
