//! The analysis.

use std::time::Duration;

use super::{section, set, unset};
use crate::aggregate::{Plan, TradePlan};
use crate::config::readers::{count, number, one_of, or_never, parsed, whole, whole_seconds};
use crate::indicators::{self, Spec};
use crate::market::{Session, Timeframe, TradeConditions, Zone};

section! {
    AnalysisValues, "Analysis":

    TECHNICAL_DATA_WINDOW_SIZE: usize = count(1..=MAX_BARS),
        set("200", "200", "bars kept per series (symbol × timeframe)");

    TECHNICAL_MIN_BARS_REQUIRED: usize = count(1..=MAX_BARS),
        set("50", "50", "bars a series needs before its first signal");

    TECHNICAL_PUBLISH_FREQUENCY: u64 = whole(1..=1_000_000),
        set("1", "5", "publish every n-th bar of each series; bars with alerts always are");

    TECHNICAL_RSI_PERIOD: usize = count(2..=MAX_BARS),
        set("14", "14", "changes the RSI is smoothed over");

    TECHNICAL_RSI_OVERBOUGHT: f64 = number(0.0..=100.0),
        set("70", "70", "RSI at or above this is overbought");

    TECHNICAL_RSI_OVERSOLD: f64 = number(0.0..=100.0),
        set("30", "30", "RSI at or below this is oversold");

    TECHNICAL_MACD_FAST: usize = count(1..=MAX_BARS),
        set("12", "12", "bars of the fast MACD average");

    TECHNICAL_MACD_SLOW: usize = count(1..=MAX_BARS),
        set("26", "26", "bars of the slow MACD average");

    TECHNICAL_MACD_SIGNAL: usize = count(1..=MAX_BARS),
        set("9", "9", "values of the MACD line in its signal");

    TECHNICAL_BB_PERIOD: usize = count(1..=MAX_BARS),
        set("20", "20", "bars of the Bollinger bands");

    TECHNICAL_BB_STD: f64 = deviations,
        set("2.0", "2.0", "half the width of the Bollinger bands, in standard deviations");

    TECHNICAL_SMA_SHORT: usize = count(1..=MAX_BARS),
        set("20", "20", "bars of the short simple average");

    TECHNICAL_SMA_LONG: usize = count(1..=MAX_BARS),
        set("50", "50", "bars of the long simple average");

    TECHNICAL_EMA_SHORT: usize = count(1..=MAX_BARS),
        set("12", "12", "bars of the short exponential average");

    TECHNICAL_EMA_LONG: usize = count(1..=MAX_BARS),
        set("26", "26", "bars of the long exponential average");

    TECHNICAL_VOLUME_SMA_PERIOD: usize = count(1..=MAX_BARS),
        set("20", "20", "bars of the average volume");

    TECHNICAL_INDICATORS: Vec<Spec> = specs,
        unset("atr(14),adx(14),stoch(14,3,3)", "more indicators (see the `indicators` command)");

    TECHNICAL_CORRECTABLE_BARS: usize = count(1..=256),
        set("32", "1",
            "number of newest bars per series that can be corrected, or inserted if missing; at \
             most the window",
        );

    TECHNICAL_TIMEFRAMES: Plan = parsed,
        unset("5m,1h,1d",
            "larger bars to derive from the smallest of each symbol, comma-separated: parts \
             that divide a day evenly, 1d, 1w, 1M (see docs/bars.md)",
        );

    TECHNICAL_CALENDAR: Zone = parsed,
        set("UTC", "America/New_York",
            "the zone at whose midnights derived days, weeks and months begin: a name of the \
             IANA",
        );

    TECHNICAL_SESSION: Session = parsed,
        unset("09:30-16:00 America/New_York",
            "the open, the close and the zone of a market: derived bars have nothing outside of \
             them, and those below a day begin at the open",
        );

    TECHNICAL_BAR_GRACE_SECS: Duration = whole_seconds(0..=86_400),
        set("5", "10",
            "seconds after its end at which an incomplete derived bar closes, if no later bar has \
             closed it",
        );

    TECHNICAL_TRADES: Timeframe = built,
        unset("1m",
            "build bars of this timeframe from the trades of each symbol: what divides a day \
             evenly, or 1d (see docs/bars.md)",
        );

    TECHNICAL_LATENESS_SECS: Duration = whole_seconds(0..=86_400),
        set("10", "30", "seconds after the end of a bar for which its trades are waited for");

    TECHNICAL_TRADE_CONDITIONS: TradeConditions = one_of(CONDITIONS),
        set("none", "sip",
            "`none`: every trade counts for prices and volume; `sip`: odd lots of US stocks count \
             for the volume only",
        );

    TECHNICAL_MAX_SERIES: usize = count(1..=10_000_000),
        set("100000", "100000", "bound on memory: input for a series beyond it is refused");

    TECHNICAL_SERIES_IDLE_SECS: Option<Duration> = or_never(whole_seconds(0..=31_536_000)),
        set("0", "86400",
            "restart a series after a gap of more than this between its bars; 0 is never",
        );
}

/// The largest window, and so the longest period.
const MAX_BARS: u32 = 10_000;

const CONDITIONS: &[(&str, TradeConditions)] = &[
    ("none", TradeConditions::None),
    ("sip", TradeConditions::Sip),
];

fn built(text: &str) -> Result<Timeframe, String> {
    let timeframe = parsed(text)?;
    if TradePlan::is_possible(timeframe) {
        return Ok(timeframe);
    }
    Err(format!(
        "`{timeframe}` bars cannot be built; use a timeframe that divides a day evenly such as \
         1m, or 1d"
    ))
}

fn specs(list: &str) -> Result<Vec<Spec>, String> {
    indicators::parse(list).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })
}

fn deviations(text: &str) -> Result<f64, String> {
    number(0.0..=100.0)(text)
        .ok()
        .filter(|std| *std > 0.0)
        .ok_or_else(|| "must be a number above 0, at most 100".to_owned())
}
