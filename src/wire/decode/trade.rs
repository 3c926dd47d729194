//! Trades, where bars are built from them.

use super::envelope::{left_over, nothing_in};
use super::values::{self, price_of, size_of};
use super::{Content, Decoder, ELEMENTS_MAX, Element, Fault};
use crate::market::{Timestamp, Trade, TradeConditions, TradeEvent, TradeId};
use crate::wire::Reason;
use crate::wire::dialects::Dialect;
use crate::wire::fields::{Field, Fields, Marks, Scalar};
use crate::wire::print::Print;
use crate::wire::subject::SubjectParts;

impl Decoder {
    /// The trade of an object in the generic shape, which has a price and nothing else of a bar's.
    pub(super) fn generic_trade<'a>(
        &self,
        fields: &mut Fields<'a>,
        text: &'a str,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
    ) -> Content<'a> {
        let print = Print::generic(text);
        let fault = other_than_trade(fields, &print);
        self.judged(fields, &print, fault, parts, now)
    }

    /// Hands the trades of a message of a dialect to `each`, in the order in which they were sent.
    pub(super) fn trades<'a>(
        &self,
        dialect: &'static Dialect,
        mut trades: Vec<Print<'a>>,
        text: &'a str,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
        each: &mut impl FnMut(Element<'a>),
    ) {
        if trades.is_empty() {
            return each(nothing_in(dialect, "trade", text, parts));
        }
        let beyond = trades.split_off(trades.len().min(ELEMENTS_MAX));
        for mut print in trades {
            let mut fields = Fields::of_print(&mut print);
            each(Element {
                dialect: dialect.name,
                bytes: print.text.as_bytes(),
                content: self.judged(&mut fields, &print, None, parts, now),
            });
        }
        if !beyond.is_empty() {
            let texts = beyond.iter().map(|print| print.text);
            each(left_over(dialect, "trades", texts, text, parts));
        }
    }

    /// The trade whose symbol and time are in `fields` and whose other values are in `print`. It is
    /// refused for `fault`, if there is one.
    fn judged<'a>(
        &self,
        fields: &mut Fields<'a>,
        print: &Print<'a>,
        fault: Option<Fault>,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
    ) -> Content<'a> {
        let payload = print.text.as_bytes();
        let symbol = match values::symbol(fields, parts) {
            Ok(symbol) => symbol,
            Err(fault) => return Content::Refused(fault.refusal(payload, parts.borrowed())),
        };
        let fault = fault.or_else(|| missing(fields, print, symbol.is_some()));
        let trade = match fault {
            Some(fault) => Err(fault),
            None => self.trade(fields, print, now),
        };
        match (trade, symbol) {
            (Ok(trade), Some(symbol)) => Content::Trade(TradeEvent { symbol, trade }),
            (Ok(_), None) => {
                let fault = Fault::new(Reason::MissingField, "no symbol");
                Content::Refused(fault.refusal(payload, None))
            }
            (Err(fault), symbol) => Content::Refused(fault.refusal(payload, symbol)),
        }
    }

    fn trade(
        &self,
        fields: &Fields<'_>,
        print: &Print<'_>,
        now: Timestamp,
    ) -> Result<Trade, Fault> {
        let of = |name: &'static str, value: &Scalar<'_>| {
            let shown = values::shown(value).into_owned();
            move |(reason, wanted): (Reason, &'static str)| {
                Fault::new(reason, format!("`{name}` is {shown}; {wanted}"))
            }
        };
        let rules = &self.rules;
        let timestamp = values::trade_time(fields, rules, now)?;
        let price = price_of(&print.price, rules.prices)
            .map_err(|wrong| of("price", &print.price)(wrong))?;
        let size = size_of(&print.size).map_err(|wrong| of("size", &print.size)(wrong))?;
        let id = id_of(&print.id).map_err(|wrong| of("trade_id", &print.id)(wrong))?;
        let by_tape = rules.trades == Some(TradeConditions::Sip);
        Ok(Trade {
            timestamp,
            price,
            size,
            id,
            forms_prices: !(by_tape && print.is_odd_lot),
        })
    }
}

/// The fault of an object with a price that also has a field of quotes, tickers or bars.
fn other_than_trade(fields: &Fields<'_>, print: &Print<'_>) -> Option<Fault> {
    let marks = fields.marks();
    let quote = [Marks::DAY, Marks::CHANGE]
        .into_iter()
        .find(|mark| marks.has(*mark));
    if let Some(mark) = quote {
        let name = fields.mark_name(mark);
        let detail = format!(
            "`{name}` beside a price is what a quote or a ticker has; send trades: price, size and timestamp"
        );
        return Some(Fault::new(Reason::Trade, detail));
    }
    let of_bar = [Field::Timeframe, Field::Volume]
        .into_iter()
        .find(|field| fields.has(*field))?;
    // a volume beside a size is the day's, and one without a size may be
    let name = fields.name(of_bar);
    let detail = if print.size.is_absent() {
        format!(
            "`{name}` without open, high, low and close is neither a bar nor a trade; send bars, or trades with price, size and timestamp"
        )
    } else {
        format!("`{name}` beside price and size is none of a trade's; leave it out")
    };
    Some(Fault::new(Reason::Trade, detail))
}

/// The value that a trade needs and lacks, if any.
fn missing(fields: &Fields<'_>, print: &Print<'_>, has_symbol: bool) -> Option<Fault> {
    let names: Vec<&str> = [
        ("`symbol`", !has_symbol),
        ("`timestamp`", !fields.has(Field::Timestamp)),
        ("`price`", print.price.is_absent()),
        ("`size`", print.size.is_absent()),
    ]
    .into_iter()
    .filter_map(|(name, is_missing)| is_missing.then_some(name))
    .collect();
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "missing {}; a trade has symbol (here or in the subject), timestamp, price and size",
        names.join(", ")
    );
    Some(Fault::new(Reason::MissingField, detail))
}

/// The id of a trade: a whole number or a text.
fn id_of(value: &Scalar<'_>) -> Result<Option<TradeId>, (Reason, &'static str)> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Int(number) => Ok(Some(TradeId::number(u128::from(*number)))),
        Scalar::Text(text) if text.is_empty() => Ok(None),
        Scalar::Text(text) => Ok(Some(TradeId::of_text(text))),
        _ => Err((Reason::WrongType, "it must be a whole number or a text")),
    }
}
