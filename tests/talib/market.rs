//! Markets made to be difficult.

use std::path::Path;

use technical_analysis_agent::indicators::Bars;

/// Difficulty of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A random walk.
    Walk,
    /// With jumps between bars.
    Gaps,
    /// With bodies, shadows and gaps of any size, so that every candlestick pattern occurs.
    Candles,
    /// With stretches in which nothing moves.
    Stretches,
    /// In ticks of 1/64: many exact ties, and sums that are exact.
    Ticks,
    /// Prices of 1e-8.
    Tiny,
    /// Prices of 1e9.
    Huge,
    /// One bar at 1e15.
    Spike,
    /// Bars that did not trade.
    NoVolume,
    /// Bars that were traded, read from a file.
    Real,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Walk,
        Self::Gaps,
        Self::Candles,
        Self::Stretches,
        Self::Ticks,
        Self::Tiny,
        Self::Huge,
        Self::Spike,
        Self::NoVolume,
    ];
}

/// A series of bars.
pub struct Market {
    pub kind: Kind,
    pub timestamps: Vec<i64>,
    pub open: Vec<f64>,
    pub high: Vec<f64>,
    pub low: Vec<f64>,
    pub close: Vec<f64>,
    pub volume: Vec<f64>,
}

/// SplitMix64, as a number from −1 to 1.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[allow(clippy::cast_precision_loss)]
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        2.0 * unit - 1.0
    }
}

impl Market {
    pub fn new(kind: Kind, seed: u64, bars: usize) -> Self {
        let mut dice = Dice(seed);
        let mut market = Self::empty(kind);
        let scale = match kind {
            Kind::Tiny => 1e-10,
            Kind::Huge => 1e7,
            _ => 1.0,
        };
        let on_grid = |price: f64| {
            if kind == Kind::Ticks {
                (price * 64.0).round() / 64.0
            } else {
                price
            }
        };
        let mut close = 100.0;
        for bar in 0..bars {
            let still = kind == Kind::Stretches && bar > 20 && (bar / 40) % 2 == 1;
            let gap = if kind == Kind::Gaps && bar % 11 == 5 {
                8.0 * dice.roll()
            } else {
                0.0
            };
            let pull = (100.0 - close) * 0.01;
            let mut o = on_grid((close + gap).max(20.0));
            let mut c = on_grid((o + dice.roll() + pull).max(20.0));
            let mut h = on_grid(o.max(c) + 0.5 * dice.roll().abs());
            let mut l = on_grid(o.min(c) - 0.5 * dice.roll().abs());
            if kind == Kind::Candles {
                o = (close + 1.5 * dice.roll()).max(20.0);
                c = (o + 3.0 * dice.roll().powi(3) + pull).max(20.0);
                h = o.max(c) + dice.roll().powi(4);
                l = o.min(c) - dice.roll().powi(4);
            }
            if still {
                (o, h, l, c) = (close, close, close, close);
            }
            close = c;
            let mut volume = (1e4 * (1.5 + dice.roll())).round();
            if kind == Kind::NoVolume && (bar % 3 == 0 || (bar / 50) % 2 == 1) {
                volume = 0.0;
            }
            if kind == Kind::Spike && bar == bars / 3 {
                (o, h, l, c) = (o, 1e15, l, 0.5e15);
            }
            market.push(o * scale, h * scale, l * scale, c * scale, volume);
        }
        market
    }

    /// The bars of a file of `tests/data/bars`.
    pub fn read(path: &Path) -> Self {
        let mut market = Self::empty(Kind::Real);
        for row in csv::Reader::from_path(path).unwrap().records() {
            let row = row.unwrap();
            let cell = |at: usize| row[at].parse().unwrap();
            market.push(cell(1), cell(2), cell(3), cell(4), cell(5));
        }
        market
    }

    /// Prices that never move.
    pub fn flat(bars: usize) -> Self {
        let mut market = Self::empty(Kind::Stretches);
        for _ in 0..bars {
            market.push(0.1, 0.1, 0.1, 0.1, 10.0);
        }
        market
    }

    pub fn empty(kind: Kind) -> Self {
        Self {
            kind,
            timestamps: Vec::new(),
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
            volume: Vec::new(),
        }
    }

    pub fn push(&mut self, o: f64, h: f64, l: f64, c: f64, v: f64) {
        let at = self.timestamps.last().map_or(0, |t| t + 60_000_000_000);
        self.timestamps.push(at);
        self.open.push(o);
        self.high.push(h);
        self.low.push(l);
        self.close.push(c);
        self.volume.push(v);
    }

    pub fn len(&self) -> usize {
        self.close.len()
    }

    /// The bars up to and including `last`, no more than `window` of them.
    pub fn window(&self, last: usize, window: usize) -> Bars<'_> {
        let range = (last + 1).saturating_sub(window)..=last;
        Bars {
            timestamps: &self.timestamps[range.clone()],
            open: &self.open[range.clone()],
            high: &self.high[range.clone()],
            low: &self.low[range.clone()],
            close: &self.close[range.clone()],
            volume: &self.volume[range],
        }
    }

    /// The bars from `first` to `last` as a market of their own.
    pub fn slice(&self, first: usize, last: usize) -> Self {
        let cut = |column: &[f64]| column[first..=last].to_vec();
        Self {
            kind: self.kind,
            timestamps: self.timestamps[first..=last].to_vec(),
            open: cut(&self.open),
            high: cut(&self.high),
            low: cut(&self.low),
            close: cut(&self.close),
            volume: cut(&self.volume),
        }
    }
}
