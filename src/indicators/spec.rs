//! Reading `TECHNICAL_INDICATORS`: a list of names and parameters becomes specs.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::entry::{Entry, Param, Parameters};
use super::names::meant;
use super::registry::{CATALOGUE, Instance};

/// One indicator with its parameters, as asked for in `TECHNICAL_INDICATORS`.
#[derive(Clone)]
pub struct Spec {
    entry: &'static Entry,
    values: Vec<f64>,
    key: String,
}

/// An item of the list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("item {position} `{item}`: {reason}")]
pub struct InvalidIndicator {
    /// Its place in the list, counted from 1.
    pub position: usize,
    /// The item as it was written.
    pub item: String,
    /// The mistake and its remedy.
    pub reason: String,
}

/// Reads a list such as `atr(14),adx(14),stoch(14,3,3),sar@tv,vwap(session=13:30)`.
///
/// Parameters are given in order or by name; those omitted have their defaults. An empty list
/// asks for nothing.
///
/// # Errors
/// Every item that cannot be read or has the key of an earlier one, with its position.
pub fn parse(list: &str) -> Result<Vec<Spec>, Vec<InvalidIndicator>> {
    let mut specs: Vec<Spec> = Vec::new();
    let mut errors = Vec::new();
    if list.trim().is_empty() {
        return Ok(specs);
    }
    for (position, item) in (1..).zip(items(list)) {
        let read = Spec::read(item).and_then(|spec| {
            match specs.iter().position(|other| other.key == spec.key) {
                Some(at) => Err(format!("`{}` is item {} already", spec.key, at + 1)),
                None => Ok(spec),
            }
        });
        match read {
            Ok(spec) => specs.push(spec),
            Err(reason) => errors.push(InvalidIndicator {
                position,
                item: item.to_owned(),
                reason,
            }),
        }
    }
    if errors.is_empty() {
        Ok(specs)
    } else {
        Err(errors)
    }
}

/// Splits at the commas that are outside parentheses.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    list.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
}

impl Spec {
    /// Reads one item, such as `stoch(14, 3, d=3)`.
    fn read(item: &str) -> Result<Self, String> {
        let (name, arguments) = match item.split_once('(') {
            None => (item, ""),
            Some((name, rest)) => (
                name,
                rest.strip_suffix(')')
                    .ok_or("the parenthesis is not closed at its end; write name(1,2)")?,
            ),
        };
        let name = name.trim().to_ascii_lowercase();
        let entry = find(&name)?;
        let mut given: Vec<Option<f64>> = vec![None; entry.params.len()];
        let arguments = arguments.trim();
        let arguments = arguments.split(',').filter(|_| !arguments.is_empty());
        for (place, argument) in arguments.enumerate() {
            let (at, text) = match argument.split_once('=') {
                Some((name, text)) => (named(entry, name.trim())?, text),
                None if place < given.len() => (place, argument),
                None => return Err(format!("too many parameters; {}", signature(entry))),
            };
            let param = &entry.params[at];
            if given[at].is_some() {
                return Err(format!("{} is given twice", param.name));
            }
            given[at] = Some(param.read(text.trim())?);
        }
        let values: Vec<f64> = entry
            .params
            .iter()
            .zip(given)
            .map(|(param, value)| value.unwrap_or(param.default))
            .collect();
        (entry.check)(Parameters(&values))?;
        Ok(Self::new(entry, values))
    }

    fn new(entry: &'static Entry, values: Vec<f64>) -> Self {
        let mut key = entry.name.replace('@', "_");
        for (param, value) in entry.params.iter().zip(&values) {
            key.push('_');
            key.push_str(&param.text(*value));
        }
        Self { entry, values, key }
    }

    /// Its key in a signal: name and parameters, such as `stoch_14_3_3`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its entry in the catalogue.
    #[must_use]
    pub const fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// The names of its outputs; one without a name of its own when it has just one.
    #[must_use]
    pub const fn outputs(&self) -> &'static [&'static str] {
        self.entry.outputs
    }

    /// The first bar with a value, counted from 0.
    #[must_use]
    pub fn warmup(&self) -> usize {
        self.entry.warmup(&self.values)
    }

    /// Bars that must be in the window for its first value, and for all it reads later.
    #[must_use]
    pub fn look_back(&self) -> usize {
        self.entry.look_back(&self.values)
    }

    /// A fresh instance.
    #[must_use]
    pub fn build(&self) -> Instance {
        (self.entry.build)(Parameters(&self.values))
    }
}

fn find(name: &str) -> Result<&'static Entry, String> {
    if let Some(entry) = CATALOGUE.iter().find(|entry| entry.name == name) {
        return Ok(entry);
    }
    let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    let distance = |known: &str| strsim::damerau_levenshtein(known, name);
    let near = names.iter().copied().min_by_key(|known| distance(known));
    let nearest = meant(name)
        .or_else(|| near.filter(|known| distance(known) <= 3))
        .map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
    let known = names.join(", ");
    Err(format!("no such indicator{nearest}; known are {known}"))
}

fn named(entry: &Entry, name: &str) -> Result<usize, String> {
    entry
        .params
        .iter()
        .position(|param| param.name == name)
        .ok_or_else(|| format!("no parameter `{name}`; {}", signature(entry)))
}

/// The parameters of an indicator, in words.
fn signature(entry: &Entry) -> String {
    if entry.params.is_empty() {
        return format!("{} takes none", entry.name);
    }
    let params: Vec<String> = entry
        .params
        .iter()
        .map(|p: &Param| format!("{} ({})", p.name, p.range()))
        .collect();
    format!("{} takes {}", entry.name, params.join(", "))
}

impl fmt::Display for Spec {
    /// The item that reads back as this spec, every parameter written out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)?;
        for (i, (param, value)) in self.entry.params.iter().zip(&self.values).enumerate() {
            f.write_str(if i == 0 { "(" } else { "," })?;
            f.write_str(&param.text(*value))?;
        }
        f.write_str(if self.values.is_empty() { "" } else { ")" })
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spec({self})")
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Spec {}

impl Serialize for Spec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(list: &str) -> Vec<String> {
        let specs = parse(list).unwrap();
        specs.iter().map(|spec| spec.key().to_owned()).collect()
    }

    fn reason(list: &str) -> (usize, String) {
        let errors = parse(list).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        (errors[0].position, errors[0].to_string())
    }

    #[test]
    fn a_list_becomes_specs_with_keys() {
        assert_eq!(
            keys("atr(14), adx,stoch( 14 ,3,3),sar@tv, SAR(0.01, maximum=0.1),vwap(session=13:30)"),
            [
                "atr_14",
                "adx_14",
                "stoch_14_3_3",
                "sar_tv_0.02_0.2",
                "sar_0.01_0.1",
                "vwap_13:30"
            ]
        );
        assert_eq!(keys("bop,obv()"), ["bop", "obv"]);
        assert_eq!(keys("bb(10,1.5),bb(20,2.0)"), ["bb_10_1.5", "bb_20_2"]);
        assert_eq!(keys(""), Vec::<String>::new());
        assert_eq!(keys("  "), Vec::<String>::new());
    }

    #[test]
    fn an_error_says_where_what_and_what_would_be_right() {
        let (at, text) = reason("atr(14),rsj(7)");
        assert_eq!(at, 2);
        assert!(text.starts_with("item 2 `rsj(7)`: no such indicator; did you mean `rsi`?"));
        assert!(text.contains("known are sma, ema, wma"), "{text}");
        for (typed, right) in [
            ("bollinger(20,2)", "bb"),
            ("LINEARREG_SLOPE(14)", "linreg_slope"),
            ("ta.rsi(14)", "rsi@tv"),
        ] {
            let (_, text) = reason(typed);
            let answer = format!("no such indicator; did you mean `{right}`?");
            assert!(text.contains(&answer), "{text}");
        }
        let (_, text) = reason("atr(0)");
        assert_eq!(
            text,
            "item 1 `atr(0)`: period `0` is not a whole number from 1 to 1000"
        );
        let (_, text) = reason("bb(20,-1)");
        assert!(text.contains("deviations `-1` is not a number from 0.01 to 100"));
        let (_, text) = reason("vwap(24:00)");
        assert!(text.contains("a time of day in UTC from 00:00 to 23:59"));
        let (_, text) = reason("rsi(14,2)");
        assert!(text.contains("too many parameters; rsi takes period (a whole number"));
        let (_, text) = reason("rsi(length=2)");
        assert!(text.contains("no parameter `length`; rsi takes period"));
        let (_, text) = reason("stoch(14,period=3)");
        assert!(text.contains("period is given twice"));
        let (_, text) = reason("macd(26,12)");
        assert!(text.contains("fast must be below slow"));
        let (_, text) = reason("rsi(14");
        assert!(text.contains("parenthesis"));
        assert_eq!(reason("rsi,,atr").0, 2);
        for bad in [
            "bb(20,NaN)",
            "bb(20,inf)",
            "rsi(1e1)",
            "rsi(14.5)",
            "rsi(+-3)",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_indicator_may_be_asked_for_once() {
        let (at, text) = reason("rsi(7),rsi,rsi(period=7)");
        assert_eq!(at, 3);
        assert!(text.contains("`rsi_7` is item 1 already"));
    }

    #[test]
    fn every_error_of_a_list_is_reported() {
        let errors = parse("rsi(1),ema(12),foo,atr(x)").unwrap_err();
        let at: Vec<usize> = errors.iter().map(|e| e.position).collect();
        assert_eq!(at, [1, 3, 4]);
    }

    #[test]
    fn a_spec_survives_serialization() {
        let list: Vec<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
        for spec in parse(&list.join(",")).unwrap() {
            let bytes = postcard::to_stdvec(&spec).unwrap();
            let back: Spec = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(back, spec);
            assert_eq!(format!("{back:?}"), format!("{spec:?}"));
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec);
        }
        assert_eq!(
            format!("{:?}", parse("sar@tv").unwrap()),
            "[Spec(sar@tv(0.02,0.2))]"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(list in "[a-z@(),=0-9.: é-]{0,60}") {
            let _ = parse(&list);
        }
    }
}
