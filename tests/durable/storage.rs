//! Place and retention of the streams, as configured.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, StorageType};
use futures_util::TryStreamExt as _;

use crate::common::{NatsServer, assert_same, collect_signals, replay};
use crate::feeder::{bar, connect, feed};
use crate::history::{PATIENCE, settle};
use crate::{ANALYSIS, agent};

async fn all_streams(js: &Context) -> Vec<Config> {
    let streams: Vec<_> = js.streams().try_collect().await.expect("the streams");
    streams.into_iter().map(|stream| stream.config).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_buckets_in_memory_hold_what_those_in_files_do() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let memory = [("TECHNICAL_STREAM_STORAGE", "memory")];
    let mut first = agent(&server, &memory);
    first.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    let mut second = agent(&server, &memory);
    second.wait_ready();
    feed(&js, 20..30).await;
    settle(&js, 30, 1).await;

    let streams = all_streams(&js).await;
    let names: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
    for prefix in ["TECHNICAL_BARS", "TECHNICAL_SIGNALS", "KV_", "OBJ_"] {
        assert!(
            names.iter().any(|name| name.starts_with(prefix)),
            "{names:?}"
        );
    }
    for stream in &streams {
        assert_eq!(stream.storage, StorageType::Memory, "{}", stream.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_and_signals_go_when_they_are_old_and_the_analysis_goes_on() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let signals = collect_signals(&js.client(), "insight.technical.>").await;
    let retention = [
        ("TECHNICAL_BARS_MAX_AGE_SECS", "7"),
        ("TECHNICAL_BARS_MAX_BYTES", "10000000"),
        ("TECHNICAL_SIGNALS_MAX_AGE_SECS", "5"),
        ("TECHNICAL_SIGNALS_MAX_BYTES", "20000000"),
    ];
    let mut running = agent(&server, &retention);
    running.wait_ready();
    let streams = all_streams(&js).await;
    let limits = |config: &Config| (config.max_age.as_secs(), config.max_bytes);
    let mut limited = 0;
    for stream in &streams {
        let expected = match stream.name.as_str() {
            "TECHNICAL_SIGNALS" => (5, 20_000_000),
            name if name.contains("TECHNICAL_BARS") => (7, 10_000_000),
            // members and checkpoints do not go by age
            _ => (0, -1),
        };
        assert_eq!(limits(stream), expected, "{}", stream.name);
        limited += usize::from(expected.0 > 0);
    }
    // bars with a timeframe and without, those of no symbol, and signals
    assert_eq!(limited, 4);

    feed(&js, 0..20).await;
    signals.wait_for(16).await;
    for (name, filter) in [("TECHNICAL_BARS", ">"), ("TECHNICAL_SIGNALS", "insight.>")] {
        wait_empty(&js, name, filter).await;
    }
    // the state is that of all bars, also of those that are gone
    feed(&js, 20..22).await;
    let came = signals.wait_for(18).await;
    let bars: Vec<String> = (0..22).map(|n| bar(0, n).to_string()).collect();
    assert_same(&came, &replay(&bars, ANALYSIS));
    running.wait_metrics(&[
        ("technical_signals_published_total", 18.0),
        ("technical_bars_lost_total", 0.0),
    ]);
}

async fn wait_empty(js: &Context, name: &str, filter: &str) {
    let start = std::time::Instant::now();
    loop {
        let stream = js.get_stream(name).await.expect("a stream");
        assert!(stream.cached_info().state.last_sequence >= 16, "{name}");
        let subjects = stream.info_with_subjects(filter).await.expect("subjects");
        let left: Vec<(String, usize)> = subjects.try_collect().await.expect("subjects");
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{name} still holds {left:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
