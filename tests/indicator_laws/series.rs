//! A long random series in ticks of a cent, and exact sums over it.

use technical_analysis_agent::indicators::Bars;

pub struct Series {
    dice: u64,
    bars: i64,
    timestamps: Vec<i64>,
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
    volume: Vec<f64>,
}

impl Series {
    /// A mean-reverting walk of `bars` bars around 100.
    pub fn walk(seed: u64, bars: usize) -> Self {
        let mut series = Self {
            dice: seed,
            bars: 0,
            timestamps: Vec::new(),
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
            volume: Vec::new(),
        };
        for _ in 0..bars {
            series.grow();
        }
        series
    }

    /// From −1 to 1 (SplitMix64).
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[allow(clippy::cast_precision_loss)]
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        2.0 * unit - 1.0
    }

    /// One more bar.
    pub fn grow(&mut self) {
        let cent = |x: f64| (x * 100.0).round() / 100.0;
        let before = self.close.last().copied().unwrap_or(100.0);
        let open = cent(before + 0.2 * self.roll());
        let close = cent(open + self.roll() + 0.01 * (100.0 - open));
        let high = cent(open.max(close) + 0.4 * self.roll().abs());
        let low = cent(open.min(close) - 0.4 * self.roll().abs());
        let volume = (1e6 * (1.2 + self.roll())).round();
        self.timestamps.push(self.bars * 60_000_000_000);
        self.bars += 1;
        self.open.push(open);
        self.high.push(high);
        self.low.push(low);
        self.close.push(close);
        self.volume.push(volume);
    }

    /// Drops all but the last `keep` bars, once there are twice as many.
    pub fn forget(&mut self, keep: usize) {
        if self.len() < 2 * keep {
            return;
        }
        let gone = self.len() - keep;
        self.timestamps.drain(..gone);
        for column in [
            &mut self.open,
            &mut self.high,
            &mut self.low,
            &mut self.close,
            &mut self.volume,
        ] {
            column.drain(..gone);
        }
    }

    /// The first `last + 1` bars, the last one taken from another series.
    pub fn with_last(&self, last: usize, other: &Self) -> Self {
        let mix = |ours: &[f64], theirs: &[f64]| {
            let mut column = ours[..last].to_vec();
            column.push(theirs[last]);
            column
        };
        Self {
            dice: self.dice,
            bars: self.bars,
            timestamps: self.timestamps[..=last].to_vec(),
            open: mix(&self.open, &other.open),
            high: mix(&self.high, &other.high),
            low: mix(&self.low, &other.low),
            close: mix(&self.close, &other.close),
            volume: mix(&self.volume, &other.volume),
        }
    }

    /// The same bars, the first `bars` of them with prices that are lower by `by`.
    pub fn lowered(mut self, bars: usize, by: f64) -> Self {
        let cent = |x: f64| (x * 100.0).round() / 100.0;
        for column in [
            &mut self.open,
            &mut self.high,
            &mut self.low,
            &mut self.close,
        ] {
            for price in &mut column[..bars] {
                *price = cent(*price - by);
            }
        }
        self
    }

    pub fn closes(&self) -> &[f64] {
        &self.close
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
}

/// A sum that keeps what each addition rounds away (Neumaier).
#[derive(Default)]
pub struct Exact {
    sum: f64,
    lost: f64,
}

impl Exact {
    fn add(&mut self, x: f64) {
        let total = self.sum + x;
        self.lost += if self.sum.abs() >= x.abs() {
            (self.sum - total) + x
        } else {
            (x - total) + self.sum
        };
        self.sum = total;
    }

    pub fn value(&self) -> f64 {
        self.sum + self.lost
    }
}

/// The cumulative indicators, written out once more.
#[derive(Default)]
pub struct Sums {
    obv: i64,
    pub first_volume: f64,
    pub ad: Exact,
    pub money: Exact,
    pub volume: Exact,
}

impl Sums {
    pub fn add(&mut self, bars: Bars<'_>) {
        let (n, v) = (bars.len() - 1, bars.volume[bars.len() - 1]);
        let (h, l, c) = (bars.high[n], bars.low[n], bars.close[n]);
        #[allow(clippy::cast_possible_truncation)] // volumes are whole
        let whole = v as i64;
        if n == 0 {
            self.first_volume = v;
            self.obv = whole;
        } else if c > bars.close[n - 1] {
            self.obv += whole;
        } else if c < bars.close[n - 1] {
            self.obv -= whole;
        }
        if h > l {
            self.ad.add(((c - l) - (h - c)) / (h - l) * v);
        }
        self.money.add((h + l + c) / 3.0 * v);
        self.volume.add(v);
    }

    #[allow(clippy::cast_precision_loss)] // below 2⁵²
    pub fn obv_exact(&self) -> f64 {
        self.obv as f64
    }
}
