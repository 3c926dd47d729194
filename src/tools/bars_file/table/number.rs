//! Numbers as people and spreadsheets write them: `1.234,56`, `4,742.83`, `$185.64`, `82.49M`.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// The notation of numbers in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum NumberStyle {
    /// `1234.56`, `1,234.56`
    #[default]
    Point,
    /// `1234,56`, `1.234,56`
    Comma,
}

impl NumberStyle {
    /// Finds out by the numbers of a table. One comma before three digits may be either; it is a
    /// decimal one where cells are not separated by commas.
    pub fn of<'a>(cells: impl Iterator<Item = &'a str>, delimiter: u8) -> Self {
        let (mut points, mut commas, mut unclear) = (0_u64, 0_u64, 0_u64);
        for cell in cells {
            let (point, comma) = (cell.rfind('.'), cell.rfind(','));
            let after = |at: usize| {
                cell[at + 1..]
                    .bytes()
                    .take_while(u8::is_ascii_digit)
                    .count()
            };
            match (point, comma) {
                (Some(point), Some(comma)) if point < comma => commas += 1,
                (Some(_), Some(_)) => points += 1,
                (Some(at), None) if cell.matches('.').count() > 1 && after(at) == 3 => commas += 1,
                // may separate thousands, but is a decimal point unless others tell
                (Some(at), None) if after(at) == 3 => {}
                (Some(_), None) => points += 1,
                (None, Some(at)) if cell.matches(',').count() > 1 || after(at) == 3 => unclear += 1,
                (None, Some(_)) => commas += 1,
                (None, None) => {}
            }
        }
        if commas > points || (points == 0 && unclear > 0 && delimiter != b',') {
            Self::Comma
        } else {
            Self::Point
        }
    }

    /// The number in a cell in the form of JSON where it is one; else the cell as it stands, for
    /// the decoder to refuse.
    pub fn read(self, cell: &str) -> Cow<'_, str> {
        if self == Self::Point && is_json_number(cell) {
            return Cow::Borrowed(cell);
        }
        let bare = cell.trim_start_matches(['$', '€', '£', '¥', '+']).trim();
        let (group, decimal) = match self {
            Self::Point => (',', '.'),
            Self::Comma => ('.', ','),
        };
        let mut text = String::with_capacity(bare.len());
        for (at, c) in bare.char_indices() {
            let between = |at: usize| {
                let before = bare[..at].ends_with(|c: char| c.is_ascii_digit());
                let rest = &bare[at + c.len_utf8()..];
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                before && digits == 3
            };
            match c {
                _ if c == group || matches!(c, ' ' | '\'' | '\u{a0}' | '\u{202f}') => {
                    if !between(at) {
                        return Cow::Borrowed(cell);
                    }
                }
                _ if c == decimal => text.push('.'),
                _ => text.push(c),
            }
        }
        if text.starts_with('.') {
            text.insert(0, '0');
        }
        if is_json_number(&text) {
            Cow::Owned(text)
        } else {
            Cow::Borrowed(cell)
        }
    }

    /// Like [`Self::read`], for volumes, which may be in thousands, millions or billions.
    pub fn read_volume(self, cell: &str) -> Cow<'_, str> {
        let zeros = match cell.chars().last() {
            Some('K' | 'k') => 3,
            Some('M' | 'm') => 6,
            Some('B' | 'b') => 9,
            Some('T') => 12,
            _ => return self.read(cell),
        };
        let number = self.read(cell[..cell.len() - 1].trim_end());
        match shifted(&number, zeros) {
            Some(text) => Cow::Owned(text),
            None => Cow::Borrowed(cell),
        }
    }
}

/// A decimal number times ten to the power of `places`, digit by digit; none where it is no plain
/// decimal number.
pub(super) fn shifted(number: &str, places: i32) -> Option<String> {
    let (sign, bare) = match number.strip_prefix('-') {
        Some(bare) => ("-", bare),
        None => ("", number),
    };
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let mut digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).ok()? + places;
    if point <= 0 {
        digits.insert_str(0, &"0".repeat(1 + point.unsigned_abs() as usize));
    }
    let point = usize::try_from(point.max(1)).ok()?;
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

/// True if a cell says that there is no value.
pub(super) fn is_absent(cell: &str) -> bool {
    cell.is_empty()
        || matches!(cell, "-" | "--" | "." | "—")
        || ["null", "nan", "none", "na", "n/a", "#n/a"]
            .iter()
            .any(|word| cell.eq_ignore_ascii_case(word))
}

pub(super) fn is_json_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn style(cells: &[&str], delimiter: u8) -> NumberStyle {
        NumberStyle::of(cells.iter().copied(), delimiter)
    }

    #[test]
    fn the_numbers_of_a_table_tell_their_decimal_sign() {
        assert_eq!(style(&["100,42", "98,5"], b';'), NumberStyle::Comma);
        assert_eq!(style(&["1.234,5", "1.234"], b';'), NumberStyle::Comma);
        assert_eq!(style(&["1,085", "1,092"], b';'), NumberStyle::Comma);
        assert_eq!(style(&["4,742.83", "1,001"], b','), NumberStyle::Point);
        assert_eq!(style(&["4,742", "1,001"], b','), NumberStyle::Point);
        assert_eq!(style(&["1.085", "1.1"], b';'), NumberStyle::Point);
        assert_eq!(style(&["99,27"], b','), NumberStyle::Comma);
        assert_eq!(style(&["100", "7"], b';'), NumberStyle::Point);
        assert_eq!(style(&["1.234.567"], b';'), NumberStyle::Comma);
    }

    #[test]
    fn numbers_come_out_as_json_with_their_digits() {
        for (style, cell, expected) in [
            (NumberStyle::Point, "187.150", "187.150"),
            (NumberStyle::Point, "1e2", "1e2"),
            (NumberStyle::Point, "4,742.83", "4742.83"),
            (NumberStyle::Point, "$1,185.64", "1185.64"),
            (NumberStyle::Point, ".5", "0.5"),
            (NumberStyle::Point, "+101", "101"),
            (NumberStyle::Comma, "99,27", "99.27"),
            (NumberStyle::Comma, "1.234.567,5", "1234567.5"),
            (NumberStyle::Comma, "1 234,5", "1234.5"),
            (NumberStyle::Comma, "-0,5", "-0.5"),
            // not a number: as it stands
            (NumberStyle::Point, "1,2,3", "1,2,3"),
            (NumberStyle::Point, "99,27", "99,27"),
            (NumberStyle::Comma, "1,2,3", "1,2,3"),
            (NumberStyle::Point, "01", "01"),
            (NumberStyle::Point, "abc", "abc"),
        ] {
            assert_eq!(style.read(cell), expected, "{cell}");
        }
    }

    #[test]
    fn volumes_may_have_a_unit() {
        for (cell, expected) in [
            ("82.49M", "82490000"),
            ("1.2B", "1200000000"),
            ("345.6789K", "345678.9"),
            ("0.5k", "500"),
            ("7", "7"),
            ("M", "M"),
        ] {
            assert_eq!(NumberStyle::Point.read_volume(cell), expected, "{cell}");
        }
        assert_eq!(NumberStyle::Comma.read_volume("82,49M"), "82490000");
    }

    #[test]
    fn fixed_point_prices_are_exact() {
        for (number, expected) in [
            ("372025000000000", "372025.000000000"),
            ("1", "0.000000001"),
            ("-37630000000", "-37.630000000"),
        ] {
            assert_eq!(shifted(number, -9).unwrap(), expected);
        }
        assert_eq!(shifted("1e5", -9), None);
    }

    proptest! {
        #[test]
        fn shifting_is_multiplying(number in 0_u32..2_000_000, places in -9_i32..9) {
            let text = shifted(&number.to_string(), places).unwrap();
            let value: f64 = text.parse().unwrap();
            let expected: f64 = format!("{number}e{places}").parse().unwrap();
            prop_assert_eq!(value, expected);
        }

        #[test]
        fn a_cell_is_never_made_another_number(cell in "[0-9]{1,4}[.,' ]?[0-9]{0,3}[.,]?[0-9]{0,2}") {
            for style in [NumberStyle::Point, NumberStyle::Comma] {
                let read = style.read(&cell);
                if is_json_number(&read) {
                    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
                    prop_assert_eq!(digits(&read), digits(&cell));
                }
            }
        }
    }
}
