//! `feed --history`: publishes the bars of files as histories, series by series and in the order of
//! time.
//!
//! The bars are decoded here, with the settings of this command, and published in one plain form.
//! Only one history of a run is open in an agent at a time, as the series follow one another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use async_nats::Client;

use super::address::Address;
use super::{Account, FeedReport, Pace, Run, progress_bar};
use crate::bus::Link;
use crate::cli::FeedArgs;
use crate::config::Config;
use crate::market::{Bar, Finality, SeriesKey, Symbol, Timestamp};
use crate::ops::logs::complain;
use crate::tools::bars_file::{BarsFile, Line, LineError, ReadOptions};
use crate::wire::{Content, Decoder, History, HistoryStep, write_history_bar};

/// Largest number of bars to read: they are sorted before the first is published.
const BARS_MAX: usize = 5_000_000;
/// Largest number of bars in a part.
const PART_BARS: usize = 1_000;
/// Largest size of the bars in a part, if server and agents accept it.
const PART_BYTES: usize = 64 << 10;
/// Bytes of a part besides its bars, enough for a symbol of full length in escapes.
const ENVELOPE_BYTES: usize = 2 << 10;

/// The bars of files by series, and the account of the reading.
#[derive(Debug, Default)]
struct Read {
    series: BTreeMap<SeriesKey, Vec<(Bar, Finality)>>,
    bars: usize,
    account: Account,
}

/// Publishes the bars of the files as histories, with the same report as [`super::feed`].
pub(super) async fn feed(
    client: &Client,
    link: &Arc<Link>,
    config: &Config,
    args: &FeedArgs,
    now: Timestamp,
) -> anyhow::Result<FeedReport> {
    let reader = Reader {
        decoder: Decoder::new(config.input.clone()),
        options: args.input.options(config),
        now,
    };
    let (files, format) = (args.files.clone(), args.input.format);
    let read = tokio::task::spawn_blocking(move || {
        let mut read = Read::default();
        for path in &files {
            let file = BarsFile::open(path, format, reader.options.clone())?;
            reader.read(path, file, &mut read)?;
        }
        anyhow::Ok(read)
    });
    let read = read.await.context("the reader of bars failed")??;

    let progress = progress_bar(Some(read.bars as u64));
    let mut run = Run::begin(client, link, config, args.subject.as_deref()).await;
    run.account = read.account;
    let pace = Pace::new(args.rate, run.start);
    let largest = client
        .server_info()
        .max_payload
        .min(config.input.max_payload_bytes);
    let room = PART_BYTES
        .min(largest.saturating_sub(ENVELOPE_BYTES))
        .max(1);
    let mut published = 0;
    for (key, bars) in read.series {
        let bars = in_order(bars);
        let subject = args.subject.clone().unwrap_or_else(|| {
            run.target.subject(&Address {
                symbol: key.symbol.to_string(),
                timeframe: Some(key.timeframe.to_string()),
            })
        });
        if let (Some((first, _)), Some((last, _))) = (bars.first(), bars.last()) {
            run.account.span(first.timestamp, last.timestamp);
        }
        let id = nuid::next();
        let mut parts = 0;
        for (payload, count) in part_messages(&key, &id, &bars, room) {
            if let Some(wait) = pace.wait(published, Instant::now()) {
                tokio::time::sleep(wait).await;
            }
            run.publisher.publish(subject.clone(), payload).await?;
            parts += 1;
            published += count;
            progress.inc(count);
        }
        run.account.bars += bars.len() as u64;
        let end = History::message(&key, &id, HistoryStep::End { parts });
        run.publisher.publish(subject, end).await?;
    }
    run.publisher.finish().await?;
    progress.finish_and_clear();
    // no bar of an unconfirmed message counts as confirmed
    let missing = run.publisher.published - run.publisher.confirmed;
    let confirmed = published.saturating_sub(missing * PART_BARS as u64);
    Ok(run.report(config, published, confirmed).await)
}

/// The parts of a history of `bars`, each with the number of its bars. The bars of a part take at
/// most `room` bytes, unless it has only one.
fn part_messages<'a>(
    key: &'a SeriesKey,
    id: &'a str,
    bars: &'a [(Bar, Finality)],
    room: usize,
) -> impl Iterator<Item = (Vec<u8>, u64)> + 'a {
    let mut rest = bars;
    let mut part = 0;
    std::iter::from_fn(move || {
        let (_, finality) = rest.last()?;
        let mut text = vec![b'['];
        let mut count = 0;
        for (bar, _) in rest.iter().take(PART_BARS) {
            let before = text.len();
            if count > 0 {
                text.push(b',');
            }
            write_history_bar(bar, &mut text);
            if text.len() >= room && count > 0 {
                text.truncate(before);
                break;
            }
            count += 1;
        }
        text.push(b']');
        rest = &rest[count..];
        let bars = std::str::from_utf8(&text).expect("it was written as text");
        let step = HistoryStep::Part {
            part,
            bars,
            forming: rest.is_empty() && *finality == Finality::UntilNext,
        };
        part += 1;
        Some((History::message(key, id, step), count as u64))
    })
}

/// Bars in the order of time. Only the last state of a forming bar is kept.
fn in_order(mut bars: Vec<(Bar, Finality)>) -> Vec<(Bar, Finality)> {
    bars.sort_by_key(|(bar, _)| bar.timestamp);
    let mut ordered: Vec<(Bar, Finality)> = Vec::with_capacity(bars.len());
    for (bar, finality) in bars {
        match ordered.last_mut() {
            Some((last, of_last))
                if last.timestamp == bar.timestamp && *of_last == Finality::UntilNext =>
            {
                (*last, *of_last) = (bar, finality);
            }
            _ => ordered.push((bar, finality)),
        }
    }
    ordered
}

/// Finds the bars in the messages of files.
struct Reader {
    decoder: Decoder,
    options: ReadOptions,
    now: Timestamp,
}

impl Reader {
    fn read(&self, path: &Path, mut file: BarsFile, read: &mut Read) -> anyhow::Result<()> {
        let shown = path.display().to_string();
        loop {
            let line = file.next();
            for note in file.notes() {
                complain(format_args!("{shown}: {note}"));
            }
            match line {
                None => return Ok(()),
                Some(Ok(line)) => self.line(&line, &shown, read),
                Some(Err(LineError::Bad {
                    number,
                    name,
                    reason,
                })) => read.skip(name, 1, format!("{shown}: line {number}: {reason}")),
                Some(Err(error)) => {
                    return Err(error).with_context(|| PathBuf::from(path).display().to_string());
                }
            }
            if read.bars > BARS_MAX {
                bail!(
                    "{shown}: more than {BARS_MAX} bars of the past are too many for one run; feed fewer symbols, \
                     or a part of the time with --from and --to"
                );
            }
        }
    }

    fn line(&self, line: &Line, shown: &str, read: &mut Read) {
        let text = String::from_utf8_lossy(&line.payload);
        let parts = Ok(self.options.parts(&text));
        let number = line.number;
        self.decoder
            .decode_all(&line.payload, &parts, self.now, |element| {
                let event = match element.content {
                    Content::Bar(event) => event,
                    Content::Trade(_) => return read.ignore("trade"),
                    Content::Ignored(kind) => return read.ignore(kind.name()),
                    Content::Refused(refusal) => {
                        let (reason, detail) = (refusal.reason.name(), &refusal.detail);
                        let told = format!("{shown}: line {number}: {reason}: {detail}");
                        return read.skip(reason, refusal.elements as u64, told);
                    }
                };
                if event.finality == Finality::Forming {
                    return read.ignore("forming");
                }
                let Ok(symbol) = Symbol::new(&event.symbol) else {
                    return;
                };
                if self.options.covers(event.bar.timestamp) {
                    let key = SeriesKey::new(symbol, event.timeframe);
                    let bars = read.series.entry(key).or_default();
                    bars.push((event.bar, event.finality));
                    read.bars += 1;
                }
            });
    }
}

impl Read {
    fn skip(&mut self, reason: &'static str, elements: u64, told: String) {
        *self.account.reasons.entry(reason).or_default() += elements;
        complain(format_args!("skipped: {told}"));
    }

    fn ignore(&mut self, kind: &'static str) {
        *self.account.ignored.entry(kind).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Timeframe;
    use crate::wire::{InputRules, SubjectParts};

    fn bar(minute: i64, close: f64) -> Bar {
        let timestamp = Timestamp::from_nanos(minute * Timeframe::MINUTE.nanos());
        Bar::flat(timestamp, close, 0.0)
    }

    fn key() -> SeriesKey {
        SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE)
    }

    #[test]
    fn bars_are_put_in_order_and_updates_of_a_forming_one_are_one() {
        use Finality::{Final, UntilNext};
        let bars = vec![
            (bar(3, 1.0), UntilNext),
            (bar(1, 1.0), Final),
            (bar(1, 2.0), Final),
            (bar(3, 2.0), UntilNext),
            (bar(2, 1.0), Final),
        ];
        let due = [
            (bar(1, 1.0), Final),
            (bar(1, 2.0), Final),
            (bar(2, 1.0), Final),
            (bar(3, 2.0), UntilNext),
        ];
        assert_eq!(in_order(bars), due);
    }

    #[test]
    fn parts_hold_every_bar_once_in_as_many_bytes_as_there_is_room() {
        let bars: Vec<_> = (0..2_500)
            .map(|at| (bar(at, 1.5), Finality::UntilNext))
            .collect();
        for (room, count) in [(usize::MAX, 3), (1_000, 114), (1, 2_500)] {
            let messages: Vec<_> = part_messages(&key(), "x", &bars, room).collect();
            assert_eq!(messages.len(), count, "room for {room}");
            let decoder = Decoder::new(InputRules::new(1 << 20, Timeframe::DAY));
            let now = Timestamp::from_nanos(i64::MAX);
            let mut found = Vec::new();
            for (at, (payload, bars)) in messages.iter().enumerate() {
                let parts = Ok(SubjectParts::default());
                let history = History::read(payload, &parts).unwrap().unwrap();
                let HistoryStep::Part { part, forming, .. } = history.step else {
                    panic!("no part")
                };
                assert_eq!((part as usize, forming), (at, at + 1 == count));
                let events = decoder.history_bars(&history, now).unwrap();
                assert_eq!(events.len() as u64, *bars);
                found.extend(events.iter().map(|event| event.bar));
                assert!(
                    payload.len() < room.saturating_add(200),
                    "{}",
                    payload.len()
                );
            }
            let due: Vec<Bar> = bars.iter().map(|(bar, _)| *bar).collect();
            assert_eq!(found, due);
        }
    }
}
