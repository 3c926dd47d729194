//! Environment, `.env`, files of secrets and defaults.

use std::ffi::OsString;
use std::time::Duration;

use technical_analysis_agent::config::{Auth, Config, Delivery, MASK, Secret, Source};

use crate::World;

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
    assert_eq!(config.input.default_timeframe.to_string(), "1m");
    assert_eq!(
        config.analysis,
        technical_analysis_agent::engine::AnalysisConfig::default()
    );
    assert_eq!(config.max_series, 100_000);
    assert_eq!(config.series_idle, None);
    assert_eq!(config.input.max_payload_bytes, 262_144);
    assert_eq!(config.durable.partitions, 32);
    assert_eq!(config.durable.bars_per_series, None);
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
fn line_breaks_around_a_secret_are_trimmed_and_said() {
    for (secret, meant, word) in [
        ("hunter2\n", "hunter2", "line break"),
        ("\r\nhunter2\r\n", "hunter2", "line break"),
        (" hunter2", " hunter2", "white space"),
        ("'hunter2'", "'hunter2'", "quotation marks"),
        ("hunter2", "hunter2", ""),
    ] {
        let config = World::of(&[("NATS_TOKEN", secret)]).load().unwrap();
        assert_eq!(config.nats.auth, Auth::Token(Secret::new(meant.to_owned())));
        let said = config.warnings.join("\n");
        assert_eq!(said.is_empty(), word.is_empty(), "{secret:?}: {said}");
        assert!(said.contains(word) && !said.contains("hunter2"), "{said}");
        if !word.is_empty() {
            assert!(said.contains("NATS_TOKEN (environment)"), "{said}");
        }
    }
    // the usual end of a file is not worth a word; more than that is
    for (content, words) in [
        ("hunter2\r\n", 0),
        ("\u{feff}hunter2\n", 0),
        ("hunter2\n\n", 1),
    ] {
        let config = World::of(&[("NATS_TOKEN_FILE", "/t")])
            .file("/t", content)
            .load()
            .unwrap();
        let Auth::Token(token) = &config.nats.auth else {
            panic!("{:?}", config.nats.auth)
        };
        assert_eq!(token.reveal(), "hunter2");
        assert_eq!(config.warnings.len(), words, "{:?}", config.warnings);
    }
}

#[test]
fn dot_env_takes_a_dollar_as_it_stands_and_names_a_key_that_stands_twice() {
    let text = "NATS_USER=u\nNATS_PASSWORD=pa$word1\nTECHNICAL_RSI_PERIOD=7\nOTHER=1\nOTHER=2\n\
                TECHNICAL_RSI_PERIOD=9\n";
    let config = World::default().file(".env", text).load().unwrap();
    let Auth::UserPassword { password, .. } = &config.nats.auth else {
        panic!("{:?}", config.nats.auth)
    };
    assert_eq!(password.reveal(), "pa$word1");
    assert_eq!(config.analysis.rsi_period, 9);
    assert_eq!(
        config.warnings,
        ["TECHNICAL_RSI_PERIOD is set twice in .env, on line 3 and on line 6; line 6 holds"]
    );
}

#[test]
fn servers_may_come_from_a_file() {
    let config = World::of(&[("NATS_URL_FILE", "/run/secrets/url")])
        .file("/run/secrets/url", "nats://bob:hunter2@a:4223, tls://b\n")
        .load()
        .unwrap();
    assert_eq!(config.nats.servers[0].password(), Some("hunter2"));
    assert_eq!(config.nats.servers[1].host(), "b");
    let (shown, source) = setting(&config, "NATS_URL");
    assert_eq!(source, Source::Environment);
    assert!(!shown.unwrap().contains("hunter2"));
    let both =
        World::of(&[("NATS_URL_FILE", "/u"), ("NATS_URL", "nats://a")]).file("/u", "nats://b");
    let shown = both.load().unwrap_err().to_string();
    assert!(shown.contains("NATS_URL_FILE=/u"), "{shown}");
}

#[test]
fn a_variable_that_is_not_read_is_named() {
    let config = World::of(&[
        ("NATS_USER_FILE", "/u"),
        ("TECHNICAL_GROUP_FILE", "/g"),
        ("nats_token", "x"),
        ("NATS_PASWORD", "x"),
        ("NATS_PORT", "tcp://10.0.0.1:4222"),
        ("LOG_PATH", "x"),
    ])
    .load()
    .unwrap();
    let said = config.warnings.join("\n");
    assert_eq!(config.warnings.len(), 4, "{said}");
    for part in [
        "NATS_USER_FILE (environment) is ignored: NATS_USER is not read from a file",
        "TECHNICAL_GROUP_FILE (environment) is ignored",
        "nats_token (environment) is ignored: the variable is called NATS_TOKEN",
        "NATS_PASWORD (environment) is no known variable and is ignored; the nearest is NATS_PASSWORD",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_url_that_may_not_be_meant_is_refused_without_its_password() {
    for url in [
        "nats://u:12#34@host",
        "nats://u:pa/ss@host",
        "nats://u:pa,ss@host",
        "nats://u:pa?ss@host",
        "nats://u:%ff@host",
        "nats://host:4222/path",
    ] {
        let shown = World::of(&[("NATS_URL", url)])
            .load()
            .unwrap_err()
            .to_string();
        assert!(shown.contains("NATS_URL="), "{url}: {shown}");
        for part in ["12", "34", "pa", "ss", "%ff"] {
            let here = url.contains(part) && url.contains('@');
            // the hints have words of their own
            let shown = shown.replace("password", "").replace("percent", "");
            let shown = shown.replace("pass", "").replace("address", "");
            assert!(!here || !shown.contains(part), "{url}: {part} in {shown}");
        }
    }
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
