//! From the command line to a command, and from its end to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use technical_analysis_agent::cli::{self, Command, HealthArgs};
use technical_analysis_agent::config::{Config, ProcessEnvironment};
use technical_analysis_agent::error::{Error, Exit};
use technical_analysis_agent::tools::health;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(answer) => {
            // nothing can be done about a closed stream
            let _ = answer.print();
            return cli::exit_of(&answer).into();
        }
    };
    match run(&command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{error}");
            error.exit().into()
        }
    }
}

fn run(command: &Command) -> Result<Exit, Error> {
    match command {
        Command::Health(args) => health(args),
        Command::Config(output) => config(output.json),
        _ => {
            Config::load(&ProcessEnvironment)?;
            Ok(Exit::Done)
        }
    }
}

fn health(args: &HealthArgs) -> Result<Exit, Error> {
    // an agent that is named can be asked whatever the configuration here
    let base = match &args.url {
        Some(url) => Ok(url.clone()),
        None => health::base_url(Config::load(&ProcessEnvironment)?.http.addr),
    };
    match base.and_then(|base| health::probe(&base, args.ready)) {
        Ok(line) => {
            say(&format!("{line}\n"));
            Ok(Exit::Done)
        }
        Err(unhealthy) => {
            say(&format!("{unhealthy}\n"));
            Ok(Exit::Unhealthy)
        }
    }
}

fn config(json: bool) -> Result<Exit, Error> {
    let config = Config::load(&ProcessEnvironment)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    let text = if json {
        config.json().map_err(anyhow::Error::from)? + "\n"
    } else {
        config.table()
    };
    say(&text);
    Ok(Exit::Done)
}

/// A reader that has gone, such as `head`, is no failure.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
