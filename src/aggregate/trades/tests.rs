use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::market::TradeId;

const SECOND: i64 = 1_000_000_000;
/// 2024-01-02T10:00:00Z.
const TEN: i64 = 1_704_189_600;

fn plan(timeframe: &str, lateness: u64) -> TradePlan {
    TradePlan {
        timeframe: timeframe.parse().unwrap(),
        lateness: Duration::from_secs(lateness),
        conditions: TradeConditions::None,
    }
}

/// A trade so many milliseconds after 10:00.
fn trade(millis: i64, price: f64, size: f64, id: Option<u64>) -> Trade {
    Trade {
        timestamp: Timestamp::from_nanos(TEN * SECOND + millis * 1_000_000),
        price,
        size,
        id: id.map(|id| TradeId::number(u128::from(id))),
        forms_prices: true,
    }
}

/// Milliseconds after 10:00, prices and volume, trades.
type Row = (i64, [f64; 5], u64);

/// Trades of one symbol at work.
struct Run {
    plan: TradePlan,
    trades: Trades,
    out: Vec<TradedBar>,
    uses: Vec<Use>,
}

impl Run {
    fn new(plan: TradePlan, first: &Trade) -> Self {
        let trades = Trades::new(&plan, &Zone::UTC, first.timestamp).unwrap();
        let mut run = Self {
            plan,
            trades,
            out: Vec::new(),
            uses: Vec::new(),
        };
        run.take(first);
        run
    }

    fn take(&mut self, trade: &Trade) -> Use {
        let newest = self.out.last().map(|bar| bar.bar.timestamp);
        self.trades.trim(newest, 1);
        self.mark(trade.timestamp);
        let newest = self.out.last().map(|bar| bar.bar.timestamp);
        let may_change = |open: Timestamp| newest.is_none_or(|newest| open >= newest);
        let used = self
            .trades
            .take(trade, &self.plan, &Zone::UTC, may_change, &mut self.out);
        assert!(self.trades.open_buckets() as u64 <= self.plan.most_open());
        assert!(self.trades.is_sound(&self.plan, &Zone::UTC));
        self.uses.push(used);
        used
    }

    fn mark(&mut self, at: Timestamp) {
        self.trades
            .close_until(at, &self.plan, &Zone::UTC, &mut self.out);
    }

    /// Every bar, the open ones closed.
    fn finish(mut self) -> Vec<Row> {
        self.mark(Timestamp::from_nanos((TEN + 100_000) * SECOND));
        rows(&self.out)
    }
}

fn rows(bars: &[TradedBar]) -> Vec<Row> {
    let row = |one: &TradedBar| {
        let bar = one.bar;
        let millis = (bar.timestamp.nanos() - TEN * SECOND) / 1_000_000;
        let values = [bar.open, bar.high, bar.low, bar.close, bar.volume];
        (millis, values, one.trades)
    };
    bars.iter().map(row).collect()
}

#[test]
fn open_and_close_are_told_by_time_and_sequence_and_not_by_arrival() {
    let mut run = Run::new(plan("1m", 10), &trade(-1, 1.0, 1.0, None));
    for (millis, price, id) in [
        (59_999, 14.0, Some(9)),
        (5_000, 12.0, Some(3)),
        (1_000, 11.0, Some(10)),
        (59_999, 13.0, Some(10)),
        (1_000, 10.0, Some(9)),
        (60_000, 20.0, Some(11)),
    ] {
        assert_eq!(run.take(&trade(millis, price, 0.1, id)), Use::Open);
    }
    assert_eq!(run.out, []);
    run.take(&trade(69_999, 21.0, 0.1, Some(12)));
    assert_eq!(run.out, [], "the lateness is not over");
    run.take(&trade(70_000, 22.0, 0.1, Some(13)));
    assert_eq!(rows(&run.out), [(0, [10.0, 14.0, 10.0, 13.0, 0.5], 5)]);
}

#[test]
fn trades_of_one_time_without_an_id_stand_as_they_are_stored() {
    let mut run = Run::new(plan("1m", 0), &trade(-1, 1.0, 1.0, None));
    for price in [5.0, 4.0, 6.0] {
        run.take(&trade(30_000, price, 1.0, None));
    }
    run.take(&trade(60_000, 9.0, 1.0, None));
    assert_eq!(rows(&run.out), [(0, [5.0, 6.0, 4.0, 6.0, 3.0], 3)]);
}

#[test]
fn nothing_is_built_from_the_bucket_of_the_first_trade_or_an_earlier_one() {
    let mut run = Run::new(plan("1m", 10), &trade(30_000, 1.0, 1.0, None));
    assert_eq!(run.take(&trade(-5_000, 2.0, 1.0, None)), Use::Unseen);
    assert_eq!(run.take(&trade(59_999, 3.0, 1.0, None)), Use::Unseen);
    assert_eq!(run.take(&trade(60_000, 4.0, 1.0, None)), Use::Open);
    assert_eq!(run.uses[0], Use::Unseen);
    assert_eq!(run.finish(), [(60_000, [4.0, 4.0, 4.0, 4.0, 1.0], 1)]);
}

#[test]
fn a_trade_that_is_too_late_reopens_the_newest_bar_and_no_other() {
    let mut run = Run::new(plan("1m", 10), &trade(-1, 1.0, 1.0, None));
    for (millis, price) in [(10_000, 5.0), (70_000, 6.0), (140_000, 7.0)] {
        run.take(&trade(millis, price, 1.0, None));
    }
    assert_eq!(run.out.len(), 2);
    let late = run.take(&trade(20_000, 9.0, 1.0, None));
    assert_eq!(late, Use::Late(trade(0, 1.0, 1.0, None).timestamp));
    assert_eq!(run.take(&trade(80_000, 8.0, 2.0, None)), Use::Reopened);
    assert_eq!(
        rows(&run.out[2..]),
        [(60_000, [6.0, 8.0, 6.0, 8.0, 3.0], 2)]
    );
    // once more, after another trade
    run.take(&trade(141_000, 7.5, 1.0, None));
    assert_eq!(run.take(&trade(60_000, 5.5, 2.0, None)), Use::Reopened);
    assert_eq!(
        rows(&run.out[3..]),
        [(60_000, [5.5, 8.0, 5.5, 8.0, 5.0], 3)]
    );
}

#[test]
fn a_trade_in_an_interval_that_passed_without_any_gives_its_bar_at_once() {
    let mut run = Run::new(plan("1m", 10), &trade(-1, 1.0, 1.0, None));
    run.take(&trade(10_000, 5.0, 1.0, None));
    run.take(&trade(190_000, 6.0, 1.0, None));
    assert_eq!(run.take(&trade(130_000, 7.0, 1.0, None)), Use::Reopened);
    assert_eq!(
        rows(&run.out),
        [
            (0, [5.0, 5.0, 5.0, 5.0, 1.0], 1),
            (120_000, [7.0, 7.0, 7.0, 7.0, 1.0], 1)
        ]
    );
}

#[test]
fn an_odd_lot_counts_for_the_volume_only() {
    let odd = |millis, price| Trade {
        forms_prices: false,
        ..trade(millis, price, 3.0, None)
    };
    let mut run = Run::new(plan("1m", 0), &trade(-1, 1.0, 1.0, None));
    for one in [
        odd(1_000, 99.0),
        trade(2_000, 5.0, 1.0, None),
        odd(3_000, 0.5),
        trade(60_000, 6.0, 1.0, None),
        // a minute of nothing else has no price, and so no bar
        odd(125_000, 7.0),
        trade(180_000, 8.0, 1.0, None),
    ] {
        run.take(&one);
    }
    assert_eq!(
        rows(&run.out),
        [
            (0, [5.0, 5.0, 5.0, 5.0, 7.0], 3),
            (60_000, [6.0, 6.0, 6.0, 6.0, 1.0], 1)
        ]
    );
}

#[test]
fn sums_and_the_average_price_are_exact() {
    let mut run = Run::new(plan("1m", 0), &trade(-1, 1.0, 1.0, None));
    let open = trade(0, 1.0, 1.0, None).timestamp;
    for _ in 0..10 {
        run.take(&trade(1_000, 0.3, 0.1, None));
    }
    assert_eq!(run.trades.vwap(open), Some(0.3));
    run.take(&trade(2_000, -0.6, 0.5, None));
    assert_eq!(run.trades.vwap(open), Some(0.0));
    run.take(&trade(3_000, -1.5, 1.5, None));
    assert_eq!(run.trades.vwap(open), Some(-0.75));
    assert_eq!(run.finish(), [(0, [0.3, 0.3, -1.5, -1.5, 3.0], 12)]);
}

#[test]
fn the_buckets_that_are_open_are_bounded_by_the_lateness() {
    let plan = plan("1s", 60);
    assert_eq!(plan.most_open(), 62);
    let mut run = Run::new(plan, &trade(-1, 1.0, 1.0, None));
    for at in 0..200 {
        for back in 0..60 {
            let millis = at * 1_000 - back * 1_000;
            run.take(&trade(millis.max(0), 1.0, 1.0, None));
        }
    }
    assert!(run.trades.open_buckets() >= 60);
    assert!(!run.uses.iter().any(|used| matches!(used, Use::Late(_))));
}

#[test]
fn a_copied_state_finds_its_place_among_the_trades_that_waited() {
    let first = trade(-1, 9.0, 1.0, None);
    // equal trades are told apart by those before them, where these waited as well
    for (prices, froms) in [
        ([1.0, 2.0, 2.0, 2.0, 1.0, 3.0], 1),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 6),
    ] {
        let trades = prices.map(|price| trade(1_000, price, 1.0, None));
        let digests = trades.map(|trade| digest(&trade));
        for taken in 1..=trades.len() {
            let mut run = Run::new(plan("1m", 10), &first);
            trades[..taken].iter().for_each(|one| {
                run.take(one);
            });
            for from in 0..taken.min(froms) {
                let found = run.trades.contained(&digests[from..]);
                assert_eq!(found, Some(taken - from), "{from} of {taken}");
            }
        }
        let mut other = Run::new(plan("1m", 10), &first);
        assert_eq!(other.trades.contained(&digests), None);
        other.take(&trade(1_000, 7.0, 1.0, None));
        assert_eq!(other.trades.contained(&digests), None);
    }
}

#[test]
fn a_damaged_state_is_told() {
    let mut run = Run::new(plan("1m", 10), &trade(-1, 1.0, 1.0, None));
    run.take(&trade(1_000, 1.0, 1.0, None));
    run.take(&trade(65_000, 1.0, 1.0, None));
    let sound = run.trades.clone();
    let told = |change: fn(&mut Trades)| {
        let mut damaged = sound.clone();
        change(&mut damaged);
        !damaged.is_sound(&plan("1m", 10), &Zone::UTC)
    };
    assert!(!told(|_| {}));
    assert!(told(|trades| trades.slots.swap(0, 1)));
    assert!(told(|trades| trades.slots[0].bucket.end = trades.since));
    assert!(told(|trades| trades.slots[1].content.clear()));
    assert!(told(|trades| trades.since = Timestamp::from_nanos(i64::MAX)));
    assert!(!sound.is_sound(&plan("5m", 10), &Zone::UTC));
    assert!(told(|trades| {
        let bucket = trades.slots[0].bucket;
        trades.next = Some(Bucket {
            open: bucket.end,
            end: bucket.end,
        });
    }));
}

/// Open time, prices and volume, trades, average price.
type OracleRow = (String, f64, f64, f64, f64, f64, u64, f64);

/// Bars of pandas and exact decimals: see tests/data/aggregate/README.md.
#[derive(Deserialize)]
struct Oracle {
    trades: Vec<(u64, String, String, u64)>,
    #[serde(rename = "1m")]
    minutes: Vec<OracleRow>,
    #[serde(rename = "5m")]
    fives: Vec<OracleRow>,
}

#[test]
fn bars_of_trades_are_those_of_the_oracle() {
    let data = include_str!("../../../tests/data/aggregate/trades.json");
    let oracle: Oracle = serde_json::from_str(data).unwrap();
    assert!(oracle.trades.len() >= 1_000);
    for (timeframe, expected) in [("1m", &oracle.minutes), ("5m", &oracle.fives)] {
        let plan = plan(timeframe, 10);
        let trades = oracle.trades.iter().map(|(at, price, size, id)| Trade {
            timestamp: Timestamp::from_epoch(*at),
            price: price.parse().unwrap(),
            size: size.parse().unwrap(),
            id: Some(TradeId::number(u128::from(*id))),
            forms_prices: true,
        });
        let mut state: Option<Trades> = None;
        let mut found = Vec::new();
        let mut out = Vec::new();
        let mut note = |state: &Trades, out: &mut Vec<TradedBar>| {
            for one in out.drain(..) {
                let bar = one.bar;
                let vwap = state.vwap(bar.timestamp).unwrap();
                let open = bar.timestamp.to_string();
                let [o, h, l, c, v] = [bar.open, bar.high, bar.low, bar.close, bar.volume];
                found.push((open, o, h, l, c, v, one.trades, vwap));
            }
        };
        for trade in trades {
            let state = state
                .get_or_insert_with(|| Trades::new(&plan, &Zone::UTC, trade.timestamp).unwrap());
            state.close_until(trade.timestamp, &plan, &Zone::UTC, &mut out);
            note(state, &mut out);
            let used = state.take(&trade, &plan, &Zone::UTC, |_| false, &mut out);
            assert!(matches!(used, Use::Open | Use::Unseen), "{trade:?}");
        }
        let mut state = state.unwrap();
        let end = Timestamp::from_nanos(i64::MAX / 2);
        state.close_until(end, &plan, &Zone::UTC, &mut out);
        note(&state, &mut out);
        assert_eq!(&found, expected, "{timeframe}");
    }
}

/// Trades in the order of their ids, each with the time by which it is late, in milliseconds.
fn market() -> impl Strategy<Value = Vec<(Trade, i64)>> {
    let step = prop_oneof![3 => Just(0i64), 4 => 1i64..3_000, 1 => 20_000i64..90_000];
    let one = (step, 1i64..2_000, 1i64..1_000_000, 0u32..9, 0i64..9_999);
    prop::collection::vec(one, 1..120).prop_map(|steps| {
        let mut at = 0;
        let mut id = 100;
        let trade = |(step, price, size, decimals, late): (i64, i64, i64, u32, i64)| {
            at += step;
            id += 1;
            let price: f64 = format!("{price}e-2").parse().unwrap();
            let size: f64 = format!("{size}e-{decimals}").parse().unwrap();
            (trade(at, price, size, Some(id)), late)
        };
        steps.into_iter().map(trade).collect()
    })
}

/// The trades in the order in which they come.
fn arrivals(market: &[(Trade, i64)]) -> Vec<(i64, Trade)> {
    let mut order: Vec<(i64, Trade)> = market
        .iter()
        .map(|(trade, late)| (trade.timestamp.nanos() + late * 1_000_000, *trade))
        .collect();
    order.sort_by_key(|(at, _)| *at);
    order
}

/// The bars of trades by the plainest way there is: all of a minute together, sorted.
fn plainly(market: &[(Trade, i64)], minutes: i64) -> Vec<Row> {
    let mut by_bucket: BTreeMap<i64, Vec<Trade>> = BTreeMap::new();
    let length = minutes * 60 * SECOND;
    for (trade, _) in market {
        let open = trade.timestamp.nanos() / length * length;
        by_bucket.entry(open).or_default().push(*trade);
    }
    by_bucket
        .into_iter()
        .map(|(open, mut trades)| {
            trades.sort_by_key(|trade| (trade.timestamp, trade.id));
            let prices = trades.iter().map(|trade| trade.price);
            let mut volume = ExactSum::default();
            trades.iter().for_each(|trade| volume.add(trade.size));
            let values = [
                trades[0].price,
                prices.clone().fold(f64::MIN, f64::max),
                prices.fold(f64::MAX, f64::min),
                trades[trades.len() - 1].price,
                volume.value(),
            ];
            let millis = (open - TEN * SECOND) / 1_000_000;
            (millis, values, trades.len() as u64)
        })
        .collect()
}

proptest! {
    /// Any permutation within the lateness gives the same bars, with time marks at any place, and
    /// when the state is written down and read at any place.
    #[test]
    fn neither_arrival_nor_marks_nor_a_hand_over_change_a_bar(
        market in market(),
        marks in prop::collection::vec((any::<prop::sample::Index>(), 0i64..9_999), 0..10),
        moved in any::<prop::sample::Index>(),
        minutes in prop_oneof![Just(1i64), Just(5)],
    ) {
        let plan = plan(&format!("{minutes}m"), 10);
        let mut run = Run::new(plan.clone(), &trade(-1, 1.0, 1.0, None));
        let order = arrivals(&market);
        let moved = moved.index(order.len());
        for (at, (arrived, trade)) in order.iter().enumerate() {
            // a time mark gives the time of the stream
            for (_, before) in marks.iter().filter(|(index, _)| index.index(order.len()) == at) {
                let time = arrived - before * 1_000_000;
                run.mark(Timestamp::from_nanos(time));
            }
            if at == moved {
                let bytes = postcard::to_stdvec(&run.trades).unwrap();
                run.trades = postcard::from_bytes(&bytes).unwrap();
            }
            prop_assert_eq!(run.take(trade), Use::Open);
        }
        prop_assert_eq!(run.finish(), plainly(&market, minutes));
    }

    /// Trades that are later than the lateness change the bar that they would have been in, as long
    /// as it is the newest; what was handed out last is what it should have been.
    #[test]
    fn the_last_word_on_a_bar_has_all_trades_that_were_not_refused(
        market in market(),
        lateness in 0u64..3,
    ) {
        let mut run = Run::new(plan("1m", lateness), &trade(-1, 1.0, 1.0, None));
        let mut taken = Vec::new();
        for (_, trade) in arrivals(&market) {
            if !matches!(run.take(&trade), Use::Late(_)) {
                taken.push((trade, 0));
            }
        }
        let mut last: BTreeMap<i64, Row> = BTreeMap::new();
        for row in run.finish() {
            last.insert(row.0, row);
        }
        let last: Vec<Row> = last.into_values().collect();
        prop_assert_eq!(last, plainly(&taken, 1));
    }
}
