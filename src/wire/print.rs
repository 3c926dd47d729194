//! A trade as it stands in a message: values under known names, still to be judged.

use super::fields::Scalar;
use super::scan;
use super::tape::{Node, Tape};

/// The code of an odd lot in the conditions of US stocks, as the tape writes it and as Massive
/// numbers it.
const ODD_LOT: [&str; 2] = ["I", "37"];

/// One trade, its values still to be judged.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::wire) struct Print<'a> {
    /// The bytes that hold it.
    pub text: &'a str,
    /// Absent where only the subject has it.
    pub symbol: Scalar<'a>,
    pub time: Scalar<'a>,
    pub price: Scalar<'a>,
    pub size: Scalar<'a>,
    /// Absent where the venue has none.
    pub id: Scalar<'a>,
    pub is_odd_lot: bool,
}

/// The fields that only a trade has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Price,
    Size,
    Id,
    Conditions,
}

impl<'a> Print<'a> {
    /// The trade in an object with these names of symbol, time, price, size and id.
    pub fn of(node: Node<'_, 'a>, names: [&str; 5]) -> Self {
        let [symbol, time, price, size, id] = node.fields(names);
        Self {
            text: node.text(),
            symbol,
            time,
            price,
            size,
            id,
            is_odd_lot: false,
        }
    }

    /// Reads the conditions under `key`.
    pub fn with_conditions(self, node: Node<'_, 'a>, key: &str) -> Self {
        let is_odd_lot = node.get(key).is_some_and(has_odd_lot);
        Self { is_odd_lot, ..self }
    }

    /// The price, size, id and conditions of an object in the generic shape, which is `text`.
    pub fn generic(text: &'a str) -> Self {
        let mut found = Found::new(text);
        let read = scan::entries(text, |key, value| {
            if let Some((field, rank)) = Field::of(key) {
                found.set(field, rank, value);
            }
        });
        if read.is_some() {
            return found.print;
        }
        // such as with an array of conditions
        let mut found = Found::new(text);
        let tape = Tape::read(text);
        for item in tape.iter().flat_map(|tape| tape.root().items()) {
            match Field::of(item.key()) {
                Some((Field::Conditions, _)) => found.print.is_odd_lot = has_odd_lot(item),
                Some((field, rank)) => found.set(field, rank, item.scalar()),
                None => {}
            }
        }
        found.print
    }
}

/// The values found so far, and the ranks of the names that they stood under.
struct Found<'a> {
    print: Print<'a>,
    ranks: [u8; 3],
}

impl<'a> Found<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            print: Print {
                text,
                symbol: Scalar::Absent,
                time: Scalar::Absent,
                price: Scalar::Absent,
                size: Scalar::Absent,
                id: Scalar::Absent,
                is_odd_lot: false,
            },
            ranks: [u8::MAX; 3],
        }
    }

    fn set(&mut self, field: Field, rank: u8, value: Scalar<'a>) {
        let (to, before) = match field {
            Field::Price => (&mut self.print.price, &mut self.ranks[0]),
            Field::Size => (&mut self.print.size, &mut self.ranks[1]),
            Field::Id => (&mut self.print.id, &mut self.ranks[2]),
            Field::Conditions => {
                self.print.is_odd_lot = names_odd_lot(&value);
                return;
            }
        };
        if !value.is_absent() && rank <= *before {
            *before = rank;
            *to = value;
        }
    }
}

impl Field {
    /// The field of a name, and the rank of the name among those of the field.
    fn of(key: &str) -> Option<(Self, u8)> {
        let folded = match key {
            "p" | "q" => return Self::folded(key.as_bytes()),
            key if key.len() < 2 || key.len() > 12 => return None,
            key => key.bytes().filter(|byte| !matches!(byte, b' ' | b'_')),
        };
        let mut name = [0; 12];
        let mut length = 0;
        for byte in folded {
            name[length] = byte.to_ascii_lowercase();
            length += 1;
        }
        Self::folded(&name[..length])
    }

    const fn folded(name: &[u8]) -> Option<(Self, u8)> {
        Some(match name {
            b"price" => (Self::Price, 0),
            b"p" => (Self::Price, 1),
            b"size" => (Self::Size, 0),
            b"qty" => (Self::Size, 1),
            b"quantity" => (Self::Size, 2),
            b"amount" => (Self::Size, 3),
            b"q" => (Self::Size, 4),
            b"tradeid" => (Self::Id, 0),
            b"id" => (Self::Id, 1),
            b"seq" => (Self::Id, 2),
            b"conditions" => (Self::Conditions, 0),
            _ => return None,
        })
    }
}

/// True if conditions, an array or a single value, name an odd lot.
fn has_odd_lot(conditions: Node<'_, '_>) -> bool {
    if conditions.is_array() {
        return conditions.items().any(|one| names_odd_lot(&one.scalar()));
    }
    names_odd_lot(&conditions.scalar())
}

fn names_odd_lot(condition: &Scalar<'_>) -> bool {
    match condition {
        Scalar::Int(code) => *code == 37,
        Scalar::Text(text) => {
            let is_name = ["odd lot", "odd_lot"]
                .iter()
                .any(|name| text.trim().eq_ignore_ascii_case(name));
            is_name
                || text
                    .split([',', ';', ' '])
                    .any(|code| ODD_LOT.contains(&code))
        }
        _ => false,
    }
}

/// A trade in words: symbol, time, price, size and id, and whether it is an odd lot.
#[cfg(test)]
pub(in crate::wire) fn in_words(event: &crate::market::TradeEvent<'_>) -> String {
    use crate::market::{Trade, TradeId};
    let Trade {
        timestamp,
        price,
        size,
        id,
        forms_prices,
    } = event.trade;
    let id = match id {
        None => "-".to_owned(),
        Some(TradeId::Number(0, number)) => number.to_string(),
        Some(_) => "text".to_owned(),
    };
    let odd = if forms_prices { "" } else { " odd lot" };
    format!("{} {timestamp} {price} {size} {id}{odd}", event.symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> (Scalar<'_>, Scalar<'_>, Scalar<'_>, bool) {
        let print = Print::generic(text);
        (print.price, print.size, print.id, print.is_odd_lot)
    }

    #[test]
    fn a_generic_trade_is_read_under_every_name() {
        let (price, size, id) = (Scalar::Number(1.5), Scalar::Int(3), Scalar::Int(7));
        for names in [
            ["price", "size", "trade_id"],
            ["p", "q", "id"],
            ["Price", "Quantity", "tradeId"],
            ["p", "qty", "seq"],
            ["price", "Amount", "TradeID"],
        ] {
            let [of_price, of_size, of_id] = names;
            let text = format!(r#"{{"{of_price}":1.5,"x":null,"{of_size}":3,"{of_id}":7}}"#);
            assert_eq!(
                values(&text),
                (price.clone(), size.clone(), id.clone(), false)
            );
        }
        // the first of the names counts, whatever their order, and null is none
        let text = r#"{"p":9,"price":1.5,"q":8,"size":3,"seq":5,"id":7,"trade_id":null}"#;
        assert_eq!(values(text), (price, size, id, false));
        for name in [
            "P",
            "Q",
            "prices",
            "side",
            "cost",
            "a long name of something",
        ] {
            assert_eq!(Field::of(name), None, "{name}");
        }
    }

    #[test]
    fn an_odd_lot_is_told_by_its_code() {
        for (conditions, expected) in [
            (r#"["@","I"]"#, true),
            (r#""@ I""#, true),
            (r#""@,I""#, true),
            ("[12,37]", true),
            ("37", true),
            (r#""Odd Lot""#, true),
            (r#"["odd_lot"]"#, true),
            (r#"["@","T"]"#, false),
            ("[]", false),
            ("null", false),
            (r#""ISO""#, false),
        ] {
            let text = format!(r#"{{"price":1.5,"size":3,"conditions":{conditions}}}"#);
            let found = values(&text);
            assert_eq!(
                found,
                (
                    Scalar::Number(1.5),
                    Scalar::Int(3),
                    Scalar::Absent,
                    expected
                )
            );
        }
    }
}
