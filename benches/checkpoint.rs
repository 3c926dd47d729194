//! Size of a partition's state in a checkpoint, and the cost of writing and reading it: as columns,
//! beside the same state as it is in memory and under general-purpose compressors.
//!
//! Every figure is also given as a ratio to the state as it is, measured in alternating rounds of
//! one run. Nothing is asserted about time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use technical_analysis_agent::engine::{AnalysisConfig, Engine, SeriesSnapshot};
use technical_analysis_agent::indicators::{catalogue, parse};
use technical_analysis_agent::market::{Bar, BarEvent, Finality, Timeframe, Timestamp};
use technical_analysis_agent::tools::synthetic::Synthetic;
use technical_analysis_agent::wire::{Decoder, InputRules};

/// Series of a partition, and bars of a series.
const SERIES: usize = 300;
const WINDOW: usize = 200;
const ROUNDS: usize = 31;
const NOW: Timestamp = Timestamp::from_nanos(1_769_869_860_000_000_000);
/// With the digits after the point that its prices are quoted with today.
const FILES: [(&str, i32); 9] = [
    ("aapl_1d", 2),
    ("fb_1d", 2),
    ("goog_1d", 2),
    ("ibm_1d", 2),
    ("msft_1d", 2),
    ("spy_1d", 2),
    ("spy_1m", 2),
    ("eurusd_15m", 5),
    ("eurusd_30m", 5),
];

/// A format of the state: its writer and its reader.
struct Format {
    name: &'static str,
    write: fn(Vec<SeriesSnapshot>) -> Vec<u8>,
    read: fn(&[u8]) -> Vec<SeriesSnapshot>,
}

const FORMATS: [Format; 6] = [
    Format {
        name: "as it is",
        write: |state| whole(&state),
        read: parsed,
    },
    Format {
        name: "columns",
        write: columns,
        read: from_columns,
    },
    Format {
        name: "lz4",
        write: |state| lz4_flex::compress_prepend_size(&whole(&state)),
        read: |bytes| {
            parsed(&lz4_flex::decompress_size_prepended(bytes).expect("what was written"))
        },
    },
    Format {
        name: "zstd 1",
        write: |state| zstd::encode_all(&*whole(&state), 1).expect("memory"),
        read: |bytes| parsed(&zstd::decode_all(bytes).expect("what was written")),
    },
    Format {
        name: "zstd 3",
        write: |state| zstd::encode_all(&*whole(&state), 3).expect("memory"),
        read: |bytes| parsed(&zstd::decode_all(bytes).expect("what was written")),
    },
    Format {
        name: "columns, then lz4",
        write: |state| lz4_flex::compress_prepend_size(&columns(state)),
        read: |bytes| {
            from_columns(&lz4_flex::decompress_size_prepended(bytes).expect("what was written"))
        },
    },
];

fn whole(state: &[SeriesSnapshot]) -> Vec<u8> {
    postcard::to_stdvec(state).expect("numbers and names")
}

fn parsed(bytes: &[u8]) -> Vec<SeriesSnapshot> {
    postcard::from_bytes(bytes).expect("what was written")
}

/// The format of a checkpoint: the bars behind all else.
fn columns(mut state: Vec<SeriesSnapshot>) -> Vec<u8> {
    let mut bars = Vec::new();
    for series in &mut state {
        series.take_bars(&mut bars);
    }
    let mut bytes = whole(&state);
    bytes.append(&mut bars);
    bytes
}

fn from_columns(bytes: &[u8]) -> Vec<SeriesSnapshot> {
    let (mut state, mut bars): (Vec<SeriesSnapshot>, _) =
        postcard::take_from_bytes(bytes).expect("what was written");
    for series in &mut state {
        series.put_bars(&mut bars).expect("what was written");
    }
    state
}

/// Windows of real bars, none of which overlap, and the digits of their prices.
fn windows() -> Vec<(Vec<Bar>, i32)> {
    let mut windows = Vec::new();
    for (file, digits) in FILES {
        let path = format!("{}/tests/data/bars/{file}.csv", env!("CARGO_MANIFEST_DIR"));
        let mut reader = csv::Reader::from_path(path).expect("sample bars");
        let bars: Vec<Bar> = reader
            .records()
            .map(|row| {
                let row = row.expect("a row");
                let value = |column: usize| row[column].parse().expect("a number");
                Bar {
                    timestamp: row[0].parse().expect("a timestamp"),
                    open: value(1),
                    high: value(2),
                    low: value(3),
                    close: value(4),
                    volume: value(5),
                }
            })
            .collect();
        let full = bars.rchunks(WINDOW).filter(|bars| bars.len() > WINDOW - 5);
        windows.extend(full.map(|bars| (bars.to_vec(), digits)));
    }
    windows
}

/// The windows again and again until there are enough series, the prices of each by a factor of its
/// own: on their ticks again, or with all the digits that come of it, as adjusted prices have.
fn scaled(on_ticks: bool) -> Vec<Vec<Bar>> {
    let windows = windows();
    let mut series = Vec::new();
    for (number, (bars, digits)) in (0u32..).zip(windows.iter().cycle().take(SERIES)) {
        let factor = 0.5 + f64::from(number) * std::f64::consts::SQRT_2 % 2.0;
        let tick = 10f64.powi(*digits);
        let price = |price: f64| {
            let price = price * factor;
            if on_ticks {
                (price * tick).round() / tick
            } else {
                price
            }
        };
        let scaled = bars.iter().map(|bar| Bar {
            timestamp: bar.timestamp,
            open: price(bar.open),
            high: price(bar.high),
            low: price(bar.low),
            close: price(bar.close),
            volume: (bar.volume * factor).round(),
        });
        series.push(scaled.collect());
    }
    series
}

/// Bars of `feed --synthetic`.
fn synthetic() -> Vec<Vec<Bar>> {
    let walk = Synthetic {
        symbols: u32::try_from(SERIES).expect("a small number"),
        bars: u32::try_from(WINDOW).expect("a small number"),
        seed: 1,
        timeframe: Timeframe::MINUTE,
        end: NOW,
    };
    let decoder = Decoder::new(InputRules::new(262_144, Timeframe::MINUTE));
    let mut series = vec![Vec::new(); SERIES];
    for (number, bar) in walk.bars().expect("bars after 1970").enumerate() {
        decoder.decode(&bar.payload, &Ok(Default::default()), NOW, |element, _| {
            series[number % SERIES].push(element.expect("a valid bar").bar);
        });
    }
    series
}

/// State of the engine after these series.
fn state(series: &[Vec<Bar>], indicators: &str) -> Vec<SeriesSnapshot> {
    let config = AnalysisConfig {
        indicators: parse(indicators).expect("indicators of the catalogue"),
        ..AnalysisConfig::default()
    };
    let mut engine = Engine::new(Arc::new(config), series.len());
    let mut now = NOW.nanos();
    for (number, bars) in series.iter().enumerate() {
        for bar in bars {
            let event = BarEvent {
                symbol: format!("SYM{number}").into(),
                timeframe: Timeframe::MINUTE,
                bar: *bar,
                finality: Finality::Final,
                adjusted: false,
                source: None,
            };
            now += 12_345_678;
            engine.on_bar(&event, Timestamp::from_nanos(now));
        }
    }
    let ids = engine.iter().map(|(id, _)| id);
    ids.map(|id| engine.snapshot(id).expect("a series"))
        .collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

#[allow(clippy::cast_precision_loss)]
fn compare(name: &str, state: &[SeriesSnapshot]) {
    let written: Vec<Vec<u8>> = FORMATS.map(|format| (format.write)(state.to_vec())).into();
    let size = written[0].len() as f64;
    for (format, bytes) in FORMATS.iter().zip(&written) {
        assert_eq!(whole(&(format.read)(bytes)), written[0], "{}", format.name);
    }
    let mut times = FORMATS.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        for ((format, bytes), (writing, reading)) in FORMATS.iter().zip(&written).zip(&mut times) {
            let state = state.to_vec();
            writing.push(timed(|| (format.write)(state)));
            reading.push(timed(|| (format.read)(bytes)));
        }
    }
    let times = times.map(|(writing, reading)| (median(writing), median(reading)));
    println!(
        "\n{name}: {} series, {size} bytes as they are\n",
        state.len()
    );
    println!("| | size | bytes/series | write | read | write MB/s | read MB/s |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let (write, read) = times[0];
    for ((format, bytes), (writing, reading)) in FORMATS.iter().zip(&written).zip(times) {
        println!(
            "| {} | {:.2} | {} | {:.1} | {:.1} | {:.0} | {:.0} |",
            format.name,
            bytes.len() as f64 / size,
            bytes.len() / state.len(),
            writing / write,
            reading / read,
            size / 1e6 / writing,
            size / 1e6 / reading,
        );
    }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("run it with `cargo bench --bench checkpoint`");
        return;
    }
    let real: Vec<Vec<Bar>> = windows().into_iter().map(|(bars, _)| bars).collect();
    let on_ticks = scaled(true);
    let names: Vec<&str> = catalogue().iter().map(|entry| entry.name).collect();
    compare("real bars", &state(&real, ""));
    compare("real bars by a factor, on ticks", &state(&on_ticks, ""));
    compare(
        "real bars by a factor, all digits",
        &state(&scaled(false), ""),
    );
    compare("synthetic bars", &state(&synthetic(), ""));
    compare(
        "as the second, with the whole catalogue of indicators",
        &state(&on_ticks, &names.join(",")),
    );
}
