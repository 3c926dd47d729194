//! The report on one element of a message.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::trace::Facts;
use super::trade::TradeEntry;
use crate::market::{Finality, Timeframe, Timestamp};
use crate::pipeline::{Change, Output};
use crate::wire::{Reason, Refusal, is_on_grid};

/// Bytes of a message that are shown.
const SHOWN: usize = 120;

/// An element of a message: a bar, or something else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The message, counted from 1.
    pub message: u64,
    /// Its line in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The element, counted from 1.
    pub element: usize,
    /// The dialect that read it.
    pub dialect: &'static str,
    /// The reason for the choice of the dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// `bar`, `trade`, `ignored` or `refused`; for control messages `reset` or `history`.
    pub kind: &'static str,
    /// The bar.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub bar: Option<BarEntry>,
    /// The trade.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub trade: Option<TradeEntry>,
    /// The reason of a refusal, or what the message is instead of a bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The fault and its remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The nearest form that would be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// A likely misunderstanding between the sender and the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The agent's action.
    pub does: String,
    /// The beginning of its bytes.
    #[serde(skip)]
    pub shown: String,
}

/// A bar in plain units and UTC.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BarEntry {
    /// The instrument.
    pub symbol: String,
    /// The bar length.
    pub timeframe: Timeframe,
    /// The time at which it opened.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: Timestamp,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Traded volume.
    pub volume: f64,
    /// True if it is complete.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// True if it revises one that was sent before.
    pub revises: bool,
    /// True if its time is one at which a bar of its timeframe may begin.
    pub on_grid: bool,
    /// The source that the message names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name that each field was found under.
    pub fields: BTreeMap<&'static str, String>,
    /// The time at which it is complete, in words.
    #[serde(skip)]
    pub completeness: &'static str,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that `serialize_with` asks for
pub(super) fn rfc3339<S: serde::Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    time.serialize_rfc3339(to)
}

impl Entry {
    /// Element number `element` of a message, with the bytes `payload`, without any finding yet.
    pub(super) fn new(
        (message, line): (u64, Option<u64>),
        subject: Option<&str>,
        (element, dialect): (usize, &'static str),
        payload: &[u8],
    ) -> Self {
        Self {
            message,
            line,
            subject: subject.map(str::to_owned),
            element,
            dialect,
            because: None,
            kind: "refused",
            bar: None,
            trade: None,
            reason: None,
            detail: None,
            accepted: None,
            hint: None,
            does: String::new(),
            shown: shown(payload),
        }
    }
}

impl BarEntry {
    pub(super) fn new(facts: Facts, fields: BTreeMap<&'static str, String>) -> Self {
        let [open, high, low, close] = facts.prices;
        Self {
            symbol: facts.symbol,
            timeframe: facts.timeframe,
            timestamp: facts.timestamp,
            open,
            high,
            low,
            close,
            volume: facts.volume,
            is_final: facts.finality.is_final(),
            on_grid: is_on_grid(facts.timestamp, facts.timeframe),
            revises: facts.finality == Finality::Revised,
            source: facts.source,
            fields,
            completeness: match facts.finality {
                Finality::Final => "complete",
                Finality::Revised => "complete, and revises one that was sent before",
                Finality::History => "complete, one of a snapshot",
                Finality::Forming => "forming, until one comes that is marked as complete",
                Finality::UntilNext => "forming, until the next one comes",
            },
        }
    }
}

/// The agent's action for a bar with this output.
pub(super) fn does(output: &Output<'_>) -> String {
    let taken = match output {
        Output::Taken(taken)
        | Output::Derived(taken)
        | Output::Revised(taken)
        | Output::Restated(taken) => taken,
        Output::Duplicate(_) => {
            return "ignores it, as the series has the same bar already".to_owned();
        }
        Output::Refused(refusal) => return format!("refuses it: {}", refusal.detail),
        Output::Ignored(kind) => return format!("ignores it as {}", kind.name()),
        Output::Marked(marked) => {
            let closed = marked.closed;
            return format!("closes the derived bars that ended before it: {closed}");
        }
        Output::Trade(_) => return "adds it to the bar that it belongs to".to_owned(),
        Output::Reset(restarted) => {
            let series = &restarted.reset.series;
            return format!("resets {series}: its bars are forgotten");
        }
        Output::Gathered(bars) => {
            return format!("sets {bars} bars aside until the end of the history");
        }
        Output::Rebuilt(taken) => {
            let bars = taken.rebuilt.bars();
            return format!("rebuilds {} with {bars} bars of the past", taken.series);
        }
    };
    let does = match taken.change {
        Change::Appended if taken.begun => "begins its series with it",
        Change::Appended => "appends it to its series",
        Change::Corrected => "replaces the bar of the same time",
        Change::Inserted => "inserts it among the newest bars of its series, where it was missing",
        Change::Forming => {
            "computes a provisional signal and keeps nothing, until the bar is complete"
        }
    };
    let signal = if taken.signal.is_some() {
        ", and publishes a signal"
    } else {
        ""
    };
    format!("{does}{signal}")
}

/// The scale of fixed-point prices, as Databento writes them.
const FIXED_POINT: f64 = 1e9;
/// Units of 1e-9 in the smallest step of a price that is usual.
const STEP: f64 = 1e3;

/// A hint at the prices in units of 1e-9, if they look like fixed-point numbers: whole, none below 1 in
/// that scale, in steps of no less than a millionth.
pub(super) fn scale_hint(prices: [f64; 4]) -> Option<String> {
    let is_fixed_point = |price: &f64| *price >= FIXED_POINT && price % STEP == 0.0;
    if !prices.iter().all(is_fixed_point) {
        return None;
    }
    let [open, high, low, close] = prices.map(|price| price / FIXED_POINT);
    Some(format!(
        "the prices look like whole numbers in units of 1e-9, as of Databento: open {open}, high {high}, low \
         {low}, close {close}. The agent takes them as they stand; send decimals, or keep `hd` with its \
         `rtype` in the message, by which the dialect `databento` is known"
    ))
}

/// The form that would be taken in place of a refused element, with what can be kept of it. There is
/// none for what is no bar, such as a trade or a quote: it lacks what a bar is made of.
pub(super) fn accepted(refusal: &Refusal<'_>, timeframe: Timeframe) -> Option<String> {
    if matches!(refusal.reason, Reason::Trade | Reason::UnknownShape) {
        return None;
    }
    let given: BTreeMap<String, Value> =
        serde_json::from_slice(refusal.payload).unwrap_or_default();
    let blamed = |name: &str| refusal.detail.contains(&format!("`{name}`"));
    let keep = |names: &[&str], is: fn(&Value) -> bool, otherwise: Value| {
        let known = given.iter().find(|(key, value)| {
            let named = names.iter().any(|name| name.eq_ignore_ascii_case(key));
            named && is(value) && !blamed(key)
        });
        known.map_or(otherwise, |(_, value)| value.clone())
    };
    let number = |value: &Value| {
        let text = value
            .as_str()
            .map(str::to_owned)
            .unwrap_or_else(|| value.to_string());
        text.parse::<f64>()
            .is_ok_and(|number| number.is_finite() && number > 0.0)
    };
    let time = |value: &Value| value.is_string() || value.is_number();
    let symbol = refusal
        .symbol
        .as_deref()
        .filter(|_| refusal.reason != Reason::BadSymbol);
    let example = |text: &str| Value::from(text);
    let mut form = serde_json::Map::new();
    form.insert("symbol".to_owned(), example(symbol.unwrap_or("AAPL")));
    let named = keep(
        &["timeframe", "tf", "interval", "i"],
        Value::is_string,
        example(&timeframe.to_string()),
    );
    form.insert("timeframe".to_owned(), named);
    let spoiled = matches!(refusal.reason, Reason::BadTimestamp | Reason::Future);
    let stamp = example("2026-01-31T14:30:00Z");
    let stamp = if spoiled {
        stamp
    } else {
        keep(&["timestamp", "start", "t", "ts", "time"], time, stamp)
    };
    form.insert("timestamp".to_owned(), stamp);
    for (name, price) in prices(refusal.reason, |names| keep(names, number, Value::Null)) {
        form.insert(name.to_owned(), price);
    }
    let volume = keep(&["volume", "vol", "v"], number, Value::from(1_000));
    form.insert("volume".to_owned(), volume);
    let order = [
        "symbol",
        "timeframe",
        "timestamp",
        "open",
        "high",
        "low",
        "close",
        "volume",
    ];
    let fields = order.map(|name| format!("\"{name}\":{}", form[name]));
    Some(format!("{{{}}}", fields.join(",")))
}

/// Four prices of which the second is the highest and the third the lowest: those that are given,
/// where they are good.
fn prices(reason: Reason, given: impl Fn(&[&str]) -> Value) -> [(&'static str, Value); 4] {
    let names = [
        ["open", "open_price", "o"],
        ["high", "high_price", "h"],
        ["low", "low_price", "l"],
        ["close", "close_price", "c"],
    ];
    let mut prices = names.map(|names| (names[0], given(&names)));
    let value =
        |price: &Value| -> Option<f64> { price.as_f64().or_else(|| price.as_str()?.parse().ok()) };
    let known: Vec<Value> = prices
        .iter()
        .map(|(_, price)| price.clone())
        .filter(|price| !price.is_null())
        .collect();
    let by = |a: &&Value, b: &&Value| {
        value(a)
            .partial_cmp(&value(b))
            .unwrap_or(std::cmp::Ordering::Equal)
    };
    let (highest, lowest) = (known.iter().max_by(by), known.iter().min_by(by));
    for (name, price) in &mut prices {
        if price.is_null() {
            let near = if *name == "low" { lowest } else { highest };
            *price = near.cloned().unwrap_or(Value::Null);
        }
    }
    let [open, high, low, close] = prices.each_ref().map(|(_, price)| value(price));
    let fits = high >= open && high >= close && low <= open && low <= close && low.is_some();
    if fits && reason != Reason::BadRange {
        return prices;
    }
    [
        ("open", 10.0),
        ("high", 12.0),
        ("low", 9.0),
        ("close", 11.0),
    ]
    .map(|(name, price)| (name, Value::from(price)))
}

/// The beginning of a message.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}", self.message)?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        if let Some(subject) = &self.subject {
            write!(f, " on {subject}")?;
        }
        writeln!(f, ", element {}: {}", self.element, self.shown)?;
        write!(f, "  dialect    {}", self.dialect)?;
        match &self.because {
            Some(because) => writeln!(f, ": {because}")?,
            None => writeln!(f)?,
        }
        if let Some(bar) = &self.bar {
            bar.fmt(f)?;
        }
        if let Some(trade) = &self.trade {
            trade.fmt(f)?;
        }
        if let Some(reason) = self.reason {
            writeln!(f, "  {:<10} {reason}", self.kind)?;
        }
        if let Some(detail) = &self.detail {
            writeln!(f, "  because    {detail}")?;
        }
        writeln!(f, "  the agent  {}", self.does)?;
        if let Some(accepted) = &self.accepted {
            writeln!(f, "  would take {accepted}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "  hint       {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BarEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = [
            ("symbol", self.symbol.clone()),
            ("timeframe", self.timeframe.to_string()),
            ("timestamp", self.timestamp.to_string()),
            ("open", self.open.to_string()),
            ("high", self.high.to_string()),
            ("low", self.low.to_string()),
            ("close", self.close.to_string()),
            ("volume", self.volume.to_string()),
            ("final", self.completeness.to_owned()),
        ];
        for (name, value) in values {
            match self.fields.get(name) {
                Some(found) => writeln!(f, "  {name:<10} {value:<24} from {found}")?,
                None => writeln!(f, "  {name:<10} {value}")?,
            }
        }
        let grid = if self.on_grid { "on" } else { "not on" };
        writeln!(f, "  {:<10} {grid} that of {}", "grid", self.timeframe)?;
        if let Some(source) = &self.source {
            writeln!(f, "  {:<10} {source}", "source")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
