//! Laws of bars that are built from trades, on random trades.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::aggregate::{Calendar, Trades};

/// More seconds than any trade is late.
const LONG: u64 = 1_000_000;

/// Trades of hours in the order of time; sizes that need more digits than a double has together.
fn market() -> impl Strategy<Value = Vec<TradeEvent<'static>>> {
    let step = prop_oneof![6 => 0i64..40, 1 => 60i64..700];
    let size = (1u64..99_999_999_999, 0u32..12);
    prop::collection::vec((step, 1u32..2_000, size), 1..150).prop_map(|steps| {
        let (mut at, mut id) = (0, 0);
        let event = |(step, price, (digits, decimals)): (i64, u32, (u64, u32))| {
            at += step;
            id += 1;
            let mut event = trade(at, f64::from(price) / 4.0, 1.0);
            event.trade.size = format!("{digits}e-{decimals}").parse().unwrap();
            event.trade.id = Some(TradeId::number(id));
            event
        };
        steps.into_iter().map(event).collect()
    })
}

/// The last signal of each bar of a timeframe, revisions aside.
fn last_words(signals: &[serde_json::Value], timeframe: &str) -> Vec<serde_json::Value> {
    let mut last = BTreeMap::new();
    for signal in signals.iter().filter(|one| one["timeframe"] == timeframe) {
        let mut signal = signal.clone();
        signal["revision"] = 0.into();
        last.insert(signal["timestamp"].as_str().unwrap().to_owned(), signal);
    }
    last.into_values().collect()
}

fn with_end(engine: &mut Engine, mut signals: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    while engine.close_at_end() > 0 {
        due(engine, &mut signals);
    }
    signals
}

proptest! {
    /// Five minutes of trades equal those of one-minute bars of these trades, bit for bit.
    #[test]
    fn trades_add_up_whatever_lies_between(
        market in market(),
        first in 0i64..400,
        late in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6), 0..10),
        bars in prop_oneof![Just(1_usize), 2_usize..20],
    ) {
        let mut trades = vec![trade(-first, 1.0, 1.0)];
        trades.extend(market);
        for (from, by) in late {
            let from = 1 + from.index(trades.len() - 1);
            let to = (from + by).min(trades.len() - 1);
            let moved = trades.remove(from);
            trades.insert(to, moved);
        }
        let mut direct = engine(building("5m", &[], LONG));
        let signals = all(&mut direct, &trades);
        let expected = with_end(&mut direct, signals);
        let mut through = engine(building("1m", &["5m"], LONG));
        let signals = all(&mut through, &trades);
        let signals = with_end(&mut through, signals);
        prop_assert_eq!(last_words(&signals, "5m"), last_words(&expected, "5m"));
        // also where trades come too late for their minute
        let mut revised = engine(correcting(bars, "1m", &["5m"], 5));
        let mut taken = Vec::new();
        let mut signals = Vec::new();
        for event in &trades {
            let (effect, more) = take(&mut revised, event);
            signals.extend(more);
            if effect == TradeEffect::Taken {
                taken.push(event.clone());
            }
        }
        let signals = with_end(&mut revised, signals);
        let mut direct = engine(building("5m", &[], LONG));
        let expected = all(&mut direct, &taken);
        let expected = with_end(&mut direct, expected);
        // a trade that is too small to be seen in the volume is no reason to publish a bar again
        let values = |signals: &[serde_json::Value]| -> Vec<(i64, [f64; 5])> {
            let words = rows(&last_words(signals, "5m"));
            words.into_iter().map(|row| (row.1, row.2)).collect()
        };
        prop_assert_eq!(values(&signals), values(&expected));
    }

    /// Larger bars of a session are the same from trades as from the minutes that these make.
    #[test]
    fn a_session_cuts_bars_of_trades_as_it_cuts_those_of_minutes(market in market()) {
        let session = |mut config: AnalysisConfig| {
            let hours = Some("10:07-11:53 UTC".parse().unwrap());
            let timeframes = ["15m", "1d"].map(|name| name.parse().unwrap());
            let plan = Plan::new(timeframes.to_vec(), Zone::UTC).unwrap();
            config.derived = plan.on_calendar(Calendar::UTC.with_session(hours));
            engine(config)
        };
        let mut trades = vec![trade(-1, 1.0, 1.0), trade(0, 1.0, 1.0)];
        trades.extend(market);
        let mut of_trades = session(building("1m", &[], 0));
        let signals = all(&mut of_trades, &trades);
        let expected = with_end(&mut of_trades, signals);
        let mut of_bars = session(rich());
        let mut signals = Vec::new();
        for (_, at, [open, high, low, close, volume], ..) in rows(&last_words(&expected, "1m")) {
            let timestamp = minute(TEN + at);
            let bar = Bar { timestamp, open, high, low, close, volume };
            let event = BarEvent { bar, ..super::bar("A", 0, 1.0) };
            of_bars.close_before(&event);
            due(&mut of_bars, &mut signals);
            of_bars.on_bar(&event, minute(0));
            due(&mut of_bars, &mut signals);
        }
        let signals = with_end(&mut of_bars, signals);
        for timeframe in ["15m", "1d"] {
            let values = |signals: &[serde_json::Value]| -> Vec<[serde_json::Value; 5]> {
                let words = last_words(signals, timeframe);
                let keys = ["timestamp", "open", "high", "low", "close"];
                words.iter().map(|signal| keys.map(|key| signal[key].clone())).collect()
            };
            prop_assert_eq!(values(&signals), values(&expected), "{}", timeframe);
        }
    }

    /// State that is moved to another engine at any place goes on as if it had not been.
    #[test]
    fn a_hand_over_at_any_place_changes_nothing(
        market in market(),
        at in any::<prop::sample::Index>(),
        bars in prop_oneof![Just(1_usize), 2_usize..20],
    ) {
        let config = correcting(bars, "1m", &["5m", "1h"], 10);
        let at = at.index(market.len());
        let mut stayed = engine(config.clone());
        let mut left = engine(config.clone());
        all(&mut stayed, &market[..at]);
        all(&mut left, &market[..at]);
        let mut came = engine(config);
        let ids: Vec<SeriesId> = left.iter().map(|(id, _)| id).collect();
        for id in ids {
            let mut snapshot = left.snapshot(id).unwrap();
            let trades = snapshot.take_trades();
            let derived = snapshot.take_derived();
            let corrections = snapshot.take_corrections();
            let beside = (derived, trades, corrections);
            let bytes = postcard::to_stdvec(&(snapshot, beside)).unwrap();
            type Beside = (Option<Derived>, Option<Box<Trades>>, Option<Corrections>);
            let (mut snapshot, (derived, trades, corrections)): (SeriesSnapshot, Beside) =
                postcard::from_bytes(&bytes).unwrap();
            if let Some(corrections) = corrections {
                snapshot.put_corrections(corrections);
            }
            if let Some(derived) = derived {
                snapshot.put_derived(derived);
            }
            if let Some(trades) = trades {
                snapshot.put_trades(trades);
            }
            came.restore(snapshot).unwrap();
        }
        prop_assert_eq!(came.open_buckets(), stayed.open_buckets());
        let signals = all(&mut came, &market[at..]);
        let signals = with_end(&mut came, signals);
        let expected = all(&mut stayed, &market[at..]);
        prop_assert_eq!(signals, with_end(&mut stayed, expected));
    }
}
