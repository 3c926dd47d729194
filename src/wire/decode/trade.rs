//! Trades, where bars are built from them.

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
        let of_dialect = |bytes, content| Element {
            dialect: dialect.name,
            bytes,
            content,
        };
        let beyond = trades.split_off(trades.len().min(ELEMENTS_MAX));
        if trades.is_empty() {
            let detail = format!("the message of {} has no trade; send one", dialect.name);
            let fault = Fault::new(Reason::Empty, detail);
            let refusal = fault.refusal(text.as_bytes(), parts.borrowed());
            each(of_dialect(text.as_bytes(), Content::Refused(refusal)));
        }
        for mut print in trades {
            let mut fields = Fields::of_print(&mut print);
            let content = self.judged(&mut fields, &print, None, parts, now);
            each(of_dialect(print.text.as_bytes(), content));
        }
        if let (Some(first), Some(last)) = (beyond.first(), beyond.last()) {
            let place = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
            let end = place(last.text) + last.text.len();
            let bytes = &text.as_bytes()[place(first.text)..end];
            let detail = format!(
                "{} trades are left, for {ELEMENTS_MAX} are taken from one message; send fewer per message",
                beyond.len()
            );
            let mut refusal =
                Fault::new(Reason::TooManyElements, detail).refusal(bytes, parts.borrowed());
            refusal.elements = beyond.len();
            each(of_dialect(bytes, Content::Refused(refusal)));
        }
    }

    /// A trade, its symbol and time in `fields` and the rest in `print`; `fault` says why it is none.
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

/// Why an object with a price is no trade: it has what only quotes, tickers and bars have.
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
