//! From the command line to a command, and from its end to an exit code.

use std::process::ExitCode;

use technical_analysis_agent::cli::{self, Command};
use technical_analysis_agent::config::{Config, ProcessEnvironment};
use technical_analysis_agent::error::{Error, Exit};

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
    let config = Config::load(&ProcessEnvironment)?;
    if let Command::Config(output) = command {
        for warning in &config.warnings {
            eprintln!("warning: {warning}");
        }
        if output.json {
            println!("{}", config.json().map_err(anyhow::Error::from)?);
        } else {
            print!("{}", config.table());
        }
    }
    Ok(Exit::Done)
}
