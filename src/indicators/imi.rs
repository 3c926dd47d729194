//! Intraday momentum index.

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::sum_over;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "imi",
    (Convention::TaLib, "IMI"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Imi::new(p.bars(0)).into(),
);

windowed! {
    /// `100 · Σ gains / (Σ gains + Σ losses)` of the last `n` bodies; a gain is `close − open`
    /// above zero, a loss the same below. Range 0…100; 50 while no bar has a body.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `IMI`.
    Imi: |bars, n| {
        let bars = bars.tail(n)?;
        let gains = sum_over(n, |i| (bars.close[i] - bars.open[i]).max(0.0));
        let losses = sum_over(n, |i| (bars.open[i] - bars.close[i]).max(0.0));
        let total = gains + losses;
        Some(if total > 0.0 { 100.0 * (gains / total) } else { 50.0 })
    }
}
