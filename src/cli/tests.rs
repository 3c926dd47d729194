use super::*;
use crate::tools::bars_file::Format;

fn command(line: &str) -> Result<Command, clap::Error> {
    let arguments = line.split_whitespace().map(OsString::from);
    parse(std::iter::once("technical-analysis-agent".into()).chain(arguments))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_the_agent_runs() {
    assert_eq!(command("").unwrap(), Command::Run);
    assert_eq!(command("run").unwrap(), Command::Run);
}

#[test]
fn replay_takes_files_and_defaults_for_what_they_leave_out() {
    let line = "replay a.csv - --format csv --symbol BRK.B --timeframe 5m --strict";
    let Command::Replay(replay) = command(line).unwrap() else {
        panic!("no replay")
    };
    assert_eq!(replay.files, [PathBuf::from("a.csv"), PathBuf::from("-")]);
    assert_eq!(replay.input.format, Some(Format::Csv));
    assert_eq!(replay.input.symbol.as_deref(), Some("BRK.B"));
    assert_eq!(replay.input.timeframe.unwrap().to_string(), "5m");
    assert!(replay.strict);
}

#[test]
fn redrive_takes_what_to_choose_by() {
    let line = "redrive --reason future --reason late --subject raw.> --since 2h --limit 5 -v";
    let Command::Redrive(redrive) = command(line).unwrap() else {
        panic!("no redrive")
    };
    assert_eq!(redrive.reasons, [Reason::Future, Reason::Late]);
    assert_eq!(redrive.subject.unwrap().as_str(), "raw.>");
    assert_eq!(redrive.since, Some(TimeSpec::Ago(7_200_000_000_000)));
    assert_eq!((redrive.until, redrive.limit), (None, Some(5)));
    assert!(redrive.verbose && !redrive.keep && !redrive.dry_run && !redrive.json);
    let Command::Redrive(plain) = command("redrive").unwrap() else {
        panic!("no redrive")
    };
    assert!(plain.reasons.is_empty() && plain.limit.is_none() && plain.rate < 1e-9);
}

#[test]
fn health_asks_one_question() {
    let asked = |line: &str| {
        let Command::Health(health) = command(line).unwrap() else {
            panic!("no health")
        };
        (health.question(), health.wait)
    };
    assert_eq!(asked("health"), (Question::Healthy, None));
    assert_eq!(asked("health --live"), (Question::Live, None));
    let wait = Some(Duration::from_millis(1_500));
    assert_eq!(asked("health --ready --wait 1.5"), (Question::Ready, wait));
}

#[test]
fn an_unknown_reason_is_answered_with_the_known_ones() {
    let text = command("redrive --reason later").unwrap_err().to_string();
    for reason in Reason::ALL {
        assert!(text.contains(reason.name()), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_64_and_help_is_no_mistake() {
    for line in [
        "walk",
        "replay",
        "replay a.csv --timeframe 2x",
        "replay a.csv --preset unheard_of",
        "replay a.csv --time-format soon",
        "replay a.csv --timezone Mars/Olympus",
        "replay a.csv --delimiter ab",
        "replay a.csv --from yesterday",
        "feed",
        "feed a.csv --synthetic",
        "feed a.csv --bars 3",
        "feed --synthetic --rate -1",
        "feed --synthetic --symbols 0",
        "run --fast",
        "health --live --ready",
        "health --wait soon",
        "health --wait -1",
        "redrive --reason unheard_of",
        "redrive --subject a..b",
        "redrive --since yesterday",
        "redrive --limit 0",
        "redrive --rate -1",
        "redrive --stream a.b",
        "verify --from yesterday",
        "verify --to 1700000000",
        "verify --from 2026-01-02T00:00:00Z --to 2026-01-01T00:00:00Z",
        "verify now",
    ] {
        let error = command(line).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Usage, "{line}");
    }
    for line in ["--help", "-h", "--version", "help feed", "replay --help"] {
        let error = command(line).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Done, "{line}");
    }
}

#[test]
fn help_names_every_variable_with_its_default_and_every_exit_code() {
    // wrapping may break a line anywhere, and does so by the width of the terminal
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let help = squeezed(&command("--help").unwrap_err().to_string());
    for key in config::keys::all() {
        let entry = squeezed(&format!("{} [default: {}]", key.name, key.default_text()));
        assert!(help.contains(&entry), "{entry}");
    }
    for (exit, meaning) in Exit::ALL {
        let entry = squeezed(&format!("{} {meaning}", exit.code()));
        assert!(help.contains(&entry), "{entry}");
    }
}
