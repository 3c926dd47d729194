//! The list of variables agrees with the program, and with the files made from it.

use std::path::Path;

use technical_analysis_agent::config::keys;

use crate::World;

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
        "run the tests with UPDATE_DOCS=1 to rewrite it"
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
