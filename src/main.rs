//! From the command line to a command, and from its end to an exit code.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use technical_analysis_agent::app::{self, Application, ignore_early};
use technical_analysis_agent::bus::{Link, Sizing, connect, permissions};
use technical_analysis_agent::cli::{
    self, Command, ConfigArgs, ExplainArgs, FeedArgs, HealthArgs, RedriveArgs, ReplayArgs,
    ResetArgs, VerifyArgs, WatchArgs,
};
use technical_analysis_agent::clock;
use technical_analysis_agent::config::{Config, FormerEnvironment, ProcessEnvironment};
use technical_analysis_agent::error::Error;
use technical_analysis_agent::exit::Exit;
use technical_analysis_agent::indicators;
use technical_analysis_agent::market::{SeriesKey, Symbol};
use technical_analysis_agent::ops::logs::{self, Stream, complain};
use technical_analysis_agent::tools::explain::{Explained, Explainer};
use technical_analysis_agent::tools::feed::{feed, reset};
use technical_analysis_agent::tools::redrive::redrive;
use technical_analysis_agent::tools::verify::{MOST, Task, verify};
use technical_analysis_agent::tools::watch::{self, watch};
use technical_analysis_agent::tools::{health, replay::replay};

/// For a server to be there, where `NATS_CONNECT_TIMEOUT` does not say.
const VERIFY_CONNECT: Duration = Duration::from_secs(10);

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
            complain(error.to_string());
            error.exit().into()
        }
    }
}

fn run(command: &Command) -> Result<Exit, Error> {
    match command {
        Command::Run => run_agent(),
        Command::Replay(args) => replay_files(args),
        Command::Feed(args) => feed_bars(args),
        Command::Reset(args) => reset_series(args),
        Command::Watch(args) => watch_signals(args),
        Command::Explain(args) => explain_messages(args),
        Command::Redrive(args) => redrive_letters(args),
        Command::Verify(args) => verify_streams(args),
        Command::Health(args) => health(args),
        Command::Config(args) => config(*args),
        Command::Indicators(output) => {
            print(&if output.json {
                indicators::catalogue_json() + "\n"
            } else {
                indicators::catalogue_table()
            })?;
            Ok(Exit::Done)
        }
    }
}

fn run_agent() -> Result<Exit, Error> {
    ignore_early().context("cannot listen for signals")?;
    let config = Config::load(&ProcessEnvironment)?;
    let logs = logs::start(&config.logs, &config.agent_name, Stream::Stdout)?;
    let outcome = Application::new(config, &ProcessEnvironment).run(&logs.control());
    // the log is where the end of an agent is looked for
    Ok(outcome.unwrap_or_else(|error| {
        tracing::error!(exit_code = error.exit().code(), "{error}");
        error.exit()
    }))
}

fn replay_files(args: &ReplayArgs) -> Result<Exit, Error> {
    let config = Config::load(&ProcessEnvironment)?;
    let mut out = BufWriter::with_capacity(256 * 1024, io::stdout().lock());
    let done = replay(&config, args, &mut out);
    if done.cut_short && done.failure.is_none() {
        // a reader that has gone, such as `head`, has what it wanted
        return Ok(Exit::Done);
    }
    complain(&done.summary);
    if let Some(failure) = done.failure {
        return Err(failure);
    }
    Ok(if done.took_anything() {
        Exit::Done
    } else {
        Exit::Data
    })
}

fn redrive_letters(args: &RedriveArgs) -> Result<Exit, Error> {
    let config = Config::load(&ProcessEnvironment)?;
    let _logs = logs::start(&config.logs, &config.agent_name, Stream::Stderr)?;
    let report = runtime()?.block_on(async {
        let link = Link::new();
        let client = connect(&config.nats, &config.agent_name, &link, Sizing::default()).await?;
        let out = &mut io::stdout();
        Ok::<_, Error>(redrive(&client, &link, &config, args, clock::now(), out).await?)
    })?;
    if args.json {
        print(&json_line(&report)?)?;
    } else {
        print(&report.to_string())?;
    }
    Ok(if report.interrupted.is_some() {
        Exit::Unreachable
    } else if report.is_complete() {
        Exit::Done
    } else {
        Exit::Data
    })
}

fn verify_streams(args: &VerifyArgs) -> Result<Exit, Error> {
    let mut config = Config::load(&ProcessEnvironment)?;
    config.nats.connect_timeout.get_or_insert(VERIFY_CONNECT);
    let former = args.former.iter().map(|path| {
        FormerEnvironment::new(&ProcessEnvironment, path)
            .map_err(|error| Error::Usage(format!("--former {}: {error}", path.display())))
            .and_then(|environment| Ok(Config::load(&environment)?))
    });
    let former = former.collect::<Result<Vec<Config>, Error>>()?;
    let _logs = logs::start(&config.logs, &config.agent_name, Stream::Stderr)?;
    let report = runtime()?.block_on(async {
        let link = Link::new();
        let client = connect(&config.nats, &config.agent_name, &link, Sizing::default()).await?;
        let task = Task {
            config: &config,
            former: &former,
            from: args.from,
            to: args.to,
            most: MOST,
            metrics: &app::metrics(),
        };
        Ok::<_, Error>(verify(&client, &link, &task).await?)
    })?;
    if args.json {
        print(&json_line(&report)?)?;
    } else {
        print(&report.to_string())?;
    }
    Ok(if report.ok { Exit::Done } else { Exit::Data })
}

fn feed_bars(args: &FeedArgs) -> Result<Exit, Error> {
    let config = Config::load(&ProcessEnvironment)?;
    let _logs = logs::start(&config.logs, &config.agent_name, Stream::Stderr)?;
    let report = runtime()?.block_on(async {
        let link = Link::new();
        let client = connect(&config.nats, &config.agent_name, &link, Sizing::default()).await?;
        Ok::<_, Error>(feed(&client, &link, &config, args, clock::now()).await?)
    })?;
    if args.json {
        print(&json_line(&report)?)?;
    }
    complain(&report);
    Ok(if report.is_complete() && !report.is_refused() {
        Exit::Done
    } else {
        Exit::Data
    })
}

fn watch_signals(args: &WatchArgs) -> Result<Exit, Error> {
    let mut config = Config::load(&ProcessEnvironment)?;
    config.nats.connect_timeout.get_or_insert(VERIFY_CONNECT);
    let _logs = logs::start(&config.logs, &config.agent_name, Stream::Stderr)?;
    let watched = runtime()?.block_on(async {
        let link = Link::new();
        let client = connect(&config.nats, &config.agent_name, &link, watch::SIZING).await?;
        let out = BufWriter::new(io::stdout());
        Ok::<_, Error>(watch(&client, &link, &config, args, out).await?)
    })?;
    complain(&watched);
    Ok(if watched.is_complete() {
        Exit::Done
    } else {
        Exit::Data
    })
}

fn reset_series(args: &ResetArgs) -> Result<Exit, Error> {
    let mut config = Config::load(&ProcessEnvironment)?;
    config.nats.connect_timeout.get_or_insert(VERIFY_CONNECT);
    let symbol = Symbol::new(&args.symbol).map_err(|invalid| Error::Usage(invalid.to_string()))?;
    let series = SeriesKey::new(symbol, args.timeframe);
    let _logs = logs::start(&config.logs, &config.agent_name, Stream::Stderr)?;
    let report = runtime()?.block_on(async {
        let link = Link::new();
        let client = connect(&config.nats, &config.agent_name, &link, Sizing::default()).await?;
        let subject = args.subject.as_deref();
        Ok::<_, Error>(reset(&client, &link, &config, &series, subject).await?)
    })?;
    if args.json {
        print(&json_line(&report)?)?;
    }
    complain(&report);
    Ok(match (report.is_answered(), report.done) {
        (true, true) => Exit::Done,
        (true, false) => Exit::Data,
        (false, _) if report.was_refused() => Exit::Data,
        (false, _) => Exit::Unreachable,
    })
}

fn explain_messages(args: &ExplainArgs) -> Result<Exit, Error> {
    let mut config = Config::load(&ProcessEnvironment)?;
    let mut out = io::stdout().lock();
    let subject = args.subject.as_ref().filter(|_| args.file.is_none());
    let Some(subject) = subject else {
        let mut explainer = Explainer::new(&config, args, &mut out);
        let path = args.file.as_deref().unwrap_or(Path::new("-"));
        explainer.file(path, args)?;
        return Ok(explained(explainer.count()));
    };
    config.nats.connect_timeout.get_or_insert(VERIFY_CONNECT);
    let _logs = logs::start(&config.logs, &config.agent_name, Stream::Stderr)?;
    runtime()?.block_on(async {
        let link = Link::new();
        let client = connect(&config.nats, &config.agent_name, &link, Sizing::default()).await?;
        let mut explainer = Explainer::new(&config, args, &mut out);
        explainer
            .live(&client, subject.as_str(), args.count, args.timeout)
            .await?;
        Ok(explained(explainer.count()))
    })
}

const fn explained(count: Explained) -> Exit {
    if count.understood > 0 {
        Exit::Done
    } else {
        Exit::Data
    }
}

fn health(args: &HealthArgs) -> Result<Exit, Error> {
    // an agent that is named can be asked whatever the configuration here
    let base = match &args.url {
        Some(url) => Ok(url.clone()),
        None => health::base_url(Config::load(&ProcessEnvironment)?.http.addr),
    };
    let wait = args.wait.unwrap_or_default();
    match base.and_then(|base| health::ask(&base, args.question(), wait)) {
        Ok(line) => {
            print(&format!("{line}\n"))?;
            Ok(Exit::Done)
        }
        Err(unhealthy) => {
            print(&format!("{unhealthy}\n"))?;
            Ok(Exit::Unhealthy)
        }
    }
}

fn config(args: ConfigArgs) -> Result<Exit, Error> {
    let config = Config::load(&ProcessEnvironment)?;
    for warning in &config.warnings {
        complain(format_args!("warning: {warning}"));
    }
    let text = if let Some(role) = args.permissions {
        permissions::text(&config, role)
    } else if args.json {
        config.json().map_err(anyhow::Error::from)? + "\n"
    } else {
        config.table()
    };
    print(&text)?;
    Ok(Exit::Done)
}

/// The runtime for the connection of a command that ends by itself.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(runtime.context("cannot start the runtime")?)
}

fn json_line(report: &impl serde::Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(report).context("cannot write the report")? + "\n")
}

/// Writes the answer of a command. A reader that has gone, such as `head`, is no failure; half an
/// answer in a full file is one.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow::Error::new(error)
            .context("cannot write to standard output")
            .into()),
        _ => Ok(()),
    }
}
