//! Cost of a bar: one row per indicator, beside the `ta` and the `ta-lib` crate, then the
//! standard set and the whole catalogue at once. Criterion reports the time of [`BARS`] bars
//! and bars per second.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ta::{DataItem, Next};
use ta_lib::{Core, MAType};
use technical_analysis_agent::indicators::{
    Bars, Bollinger, Ema, Instance, Macd, Rsi, Sma, Spec, catalogue, last, mean, parse,
};

/// Bars per iteration.
const BARS: usize = 1000;
/// The window that indicators are shown.
const WINDOW: usize = 200;

struct Series {
    timestamps: Vec<i64>,
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
    volume: Vec<f64>,
}

impl Series {
    /// A random walk in ticks of a cent: warm-up and [`BARS`] more.
    fn walk() -> Self {
        let mut series = Self {
            timestamps: Vec::new(),
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
            volume: Vec::new(),
        };
        let mut state = 1u64;
        let mut roll = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            #[allow(clippy::cast_precision_loss)]
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            2.0 * unit - 1.0
        };
        let cent = |x: f64| (x * 100.0).round() / 100.0;
        let mut close = 100.0;
        for at in 0i64.. {
            let open = cent(close + 0.2 * roll());
            close = cent(open + roll() + 0.01 * (100.0 - open));
            series.timestamps.push(at * 60_000_000_000);
            series.open.push(open);
            series.high.push(cent(open.max(close) + 0.4 * roll().abs()));
            series.low.push(cent(open.min(close) - 0.4 * roll().abs()));
            series.close.push(close);
            series.volume.push((1e6 * (1.2 + roll())).round());
            if series.close.len() == WINDOW + BARS {
                return series;
            }
        }
        series
    }

    /// The window that ends in `newest`.
    #[inline]
    fn window(&self, newest: usize) -> Bars<'_> {
        let range = (newest + 1).saturating_sub(WINDOW)..=newest;
        Bars {
            timestamps: &self.timestamps[range.clone()],
            open: &self.open[range.clone()],
            high: &self.high[range.clone()],
            low: &self.low[range.clone()],
            close: &self.close[range.clone()],
            volume: &self.volume[range],
        }
    }

    fn items(&self) -> Vec<DataItem> {
        (0..self.close.len())
            .filter_map(|i| {
                DataItem::builder()
                    .open(self.open[i])
                    .high(self.high[i])
                    .low(self.low[i])
                    .close(self.close[i])
                    .volume(self.volume[i])
                    .build()
                    .ok()
            })
            .collect()
    }
}

/// An instance that has seen the warm-up.
fn warmed(spec: &Spec, series: &Series) -> (Instance, Vec<f64>) {
    let (mut instance, mut out) = (spec.build(), vec![0.0; spec.outputs().len()]);
    for newest in 0..WINDOW {
        instance.update(series.window(newest), &mut out);
    }
    (instance, out)
}

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group
        .throughput(Throughput::Elements(BARS as u64))
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    group
}

fn ours(c: &mut Criterion) {
    let series = Series::walk();
    let mut group = group(c, "ours");
    for entry in catalogue() {
        let Ok(mut specs) = parse(entry.name) else {
            continue;
        };
        let (mut instance, mut out) = warmed(&specs.remove(0), &series);
        group.bench_function(entry.name, |b| {
            b.iter(|| {
                for newest in WINDOW..WINDOW + BARS {
                    instance.update(series.window(newest), &mut out);
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

fn ta_crate(c: &mut Criterion) {
    use ta::indicators::{
        AverageTrueRange, BollingerBands, CommodityChannelIndex, EfficiencyRatio,
        ExponentialMovingAverage, MoneyFlowIndex, MovingAverageConvergenceDivergence,
        OnBalanceVolume, RateOfChange, RelativeStrengthIndex, SimpleMovingAverage, SlowStochastic,
        StandardDeviation,
    };
    let items = Series::walk().items();
    let mut group = group(c, "ta");
    macro_rules! row {
        ($name:literal, $new:expr) => {
            if let Ok(mut indicator) = $new {
                group.bench_function($name, |b| {
                    b.iter(|| {
                        for item in &items[WINDOW..] {
                            black_box(indicator.next(item));
                        }
                    });
                });
            }
        };
    }
    row!("sma", SimpleMovingAverage::new(20));
    row!("ema", ExponentialMovingAverage::new(20));
    row!("rsi", RelativeStrengthIndex::new(14));
    row!("macd", MovingAverageConvergenceDivergence::new(12, 26, 9));
    row!("bb", BollingerBands::new(20, 2.0));
    row!("atr", AverageTrueRange::new(14));
    row!("stoch", SlowStochastic::new(14, 3));
    row!("cci", CommodityChannelIndex::new(20));
    row!("mfi", MoneyFlowIndex::new(14));
    row!("roc", RateOfChange::new(10));
    row!("stddev", StandardDeviation::new(20));
    row!("kama's efficiency", EfficiencyRatio::new(10));
    row!("obv", Ok::<_, ()>(OnBalanceVolume::new()));
    group.finish();
}

fn talib_crate(c: &mut Criterion) {
    let s = Series::walk();
    let core = Core::new();
    let (high, low, close) = (&s.high[..WINDOW], &s.low[..WINDOW], &s.close[..WINDOW]);
    let volume = &s.volume[..WINDOW];
    let mut group = group(c, "ta-lib");
    macro_rules! row {
        ($name:literal, $open:expr, |$stream:ident, $i:ident| $update:expr) => {
            if let Ok(($stream, ..)) = $open {
                let mut $stream = $stream;
                group.bench_function($name, |b| {
                    b.iter(|| {
                        for $i in WINDOW..WINDOW + BARS {
                            let _ = black_box($update);
                        }
                    });
                });
            }
        };
    }
    let sma = MAType::SMA;
    row!("sma", core.sma_open(close, 20), |x, i| x.update(s.close[i]));
    row!("ema", core.ema_open(close, 20), |x, i| x.update(s.close[i]));
    row!("rsi", core.rsi_open(close, 14), |x, i| x.update(s.close[i]));
    row!("macd", core.macd_open(close, 12, 26, 9), |x, i| x
        .update(s.close[i]));
    row!("bb", core.bbands_open(close, 20, 2.0, 2.0, sma), |x, i| x
        .update(s.close[i]));
    row!("kama", core.kama_open(close, 10), |x, i| x
        .update(s.close[i]));
    row!("atr", core.atr_open(high, low, close, 14), |x, i| x
        .update(s.high[i], s.low[i], s.close[i]));
    row!("adx", core.adx_open(high, low, close, 14), |x, i| x
        .update(s.high[i], s.low[i], s.close[i]));
    row!("cci", core.cci_open(high, low, close, 20), |x, i| x
        .update(s.high[i], s.low[i], s.close[i]));
    row!(
        "stoch",
        core.stoch_open(high, low, close, 14, 3, sma, 3, sma),
        |x, i| x.update(s.high[i], s.low[i], s.close[i])
    );
    row!(
        "mfi",
        core.mfi_open(high, low, close, volume, 14),
        |x, i| x.update(s.high[i], s.low[i], s.close[i], s.volume[i])
    );
    row!("obv", core.obv_open(close, volume), |x, i| x
        .update(s.close[i], s.volume[i]));
    row!("sar", core.sar_open(high, low, 0.02, 0.2), |x, i| x
        .update(s.high[i], s.low[i]));
    group.finish();
}

/// Cost of every series under the default configuration.
fn standard_set(c: &mut Criterion) {
    let series = Series::walk();
    let (mut sma_short, mut sma_long) = (Sma::new(20), Sma::new(50));
    let (mut ema_short, mut ema_long) = (Ema::new(12), Ema::new(26));
    let (mut rsi, mut macd) = (Rsi::new(14), Macd::new(12, 26, 9));
    let mut bands = Bollinger::new(20, 2.0);
    let mut update = |bars: Bars<'_>| {
        black_box((
            sma_short.next(bars),
            sma_long.next(bars),
            ema_short.next(bars),
            ema_long.next(bars),
            rsi.next(bars),
            macd.next(bars),
            bands.next(bars),
            last(bars.volume, 20).map(mean),
        ));
    };
    for newest in 0..WINDOW {
        update(series.window(newest));
    }
    let mut group = group(c, "together");
    group.bench_function("standard set", |b| {
        b.iter(|| {
            for newest in WINDOW..WINDOW + BARS {
                update(series.window(newest));
            }
        });
    });
    group.finish();
}

fn whole_catalogue(c: &mut Criterion) {
    let series = Series::walk();
    let names: Vec<&str> = catalogue().iter().map(|entry| entry.name).collect();
    let specs = parse(&names.join(",")).unwrap_or_default();
    let mut all: Vec<_> = specs.iter().map(|spec| warmed(spec, &series)).collect();
    let mut group = group(c, "together");
    group.bench_function(format!("all {} entries", all.len()), |b| {
        b.iter(|| {
            for newest in WINDOW..WINDOW + BARS {
                let bars = series.window(newest);
                for (instance, out) in &mut all {
                    instance.update(bars, out);
                    black_box(out);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(
    benches,
    standard_set,
    whole_catalogue,
    ours,
    ta_crate,
    talib_crate
);
criterion_main!(benches);
