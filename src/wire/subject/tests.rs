use super::*;

use proptest::prelude::*;

fn pattern(text: &str) -> SubjectPattern {
    text.parse().unwrap()
}

fn said(text: &str, subject: &str) -> (Option<String>, Option<String>) {
    let parts = pattern(text).parts(subject).unwrap();
    (
        parts.symbol.map(Cow::into_owned),
        parts.timeframe.map(|t| t.to_string()),
    )
}

fn some(symbol: &str, timeframe: Option<&str>) -> (Option<String>, Option<String>) {
    (Some(symbol.to_owned()), timeframe.map(str::to_owned))
}

#[test]
fn wildcards_stand_for_symbol_and_timeframe() {
    let rest = "raw.market_data.price.>";
    for (text, subject, expected) in [
        ("raw.price", "raw.price", (None, None)),
        (rest, "raw.market_data.price.BTCUSDT", some("BTCUSDT", None)),
        (
            rest,
            "raw.market_data.price.BTCUSDT.1m",
            some("BTCUSDT", Some("1m")),
        ),
        (
            rest,
            "raw.market_data.price.BRK%2EB.1d",
            some("BRK.B", Some("1d")),
        ),
        (
            rest,
            "raw.market_data.price.BTC%2fUSDT",
            some("BTC/USDT", None),
        ),
        (rest, "raw.market_data.price.%E2%82%AC", some("€", None)),
        ("bars.*.*", "bars.A.4h", some("A", Some("4h"))),
        ("*.bars.*", "A.bars.1w", some("A", Some("1w"))),
        ("*.bars.>", "A.bars.1w", some("A", Some("1w"))),
    ] {
        assert_eq!(said(text, subject), expected, "{subject}");
    }
    let parts = pattern(rest).parts("raw.market_data.price.A.1m").unwrap();
    assert!(matches!(parts.symbol, Some(Cow::Borrowed("A"))));
}

#[test]
fn placeholders_stand_for_symbol_and_timeframe_wherever_they_stand() {
    for (text, nats, subject, expected) in [
        (
            "md.candles.{timeframe}.{symbol}",
            "md.candles.*.*",
            "md.candles.5m.BRK%2EB",
            some("BRK.B", Some("5m")),
        ),
        (
            "C.{timeframe}.{symbol}.*",
            "C.*.*.*",
            "C.60.A.x",
            some("A", Some("1h")),
        ),
        (
            "market.*.{symbol}.candle",
            "market.*.*.candle",
            "market.binance.BTC%2FUSDT.candle",
            some("BTC/USDT", None),
        ),
        (
            "{symbol}.{timeframe}.>",
            "*.*.>",
            "A.D.x.y",
            some("A", Some("1d")),
        ),
    ] {
        assert_eq!(pattern(text).as_str(), nats);
        assert_eq!(pattern(text).to_string(), text);
        assert!(pattern(text).matches(subject));
        assert_eq!(said(text, subject), expected, "{subject}");
    }
    for (text, subject, reason) in [
        ("C.{timeframe}.{symbol}", "C.x.A", Reason::BadTimeframe),
        ("C.{timeframe}.{symbol}", "C.1m.A%", Reason::BadSymbol),
    ] {
        assert_eq!(pattern(text).parts(subject).unwrap_err().reason, reason);
    }
}

#[test]
fn the_symbol_of_a_pattern_is_one_of_its_wildcards() {
    for (text, wildcard) in [
        ("md.{timeframe}.{symbol}", Some(2)),
        ("md.*.{symbol}.x.{timeframe}", Some(2)),
        ("{symbol}.>", Some(1)),
        ("a.*.b.*", Some(1)),
        ("a.>", None),
        ("a.b", None),
    ] {
        assert_eq!(pattern(text).symbol_wildcard(), wildcard, "{text}");
    }
    let by_timeframe = pattern("md.{timeframe}.{symbol}");
    assert_eq!(by_timeframe.symbol_token("md.1m.A%41PL"), Some("A%41PL"));
    let canonical = by_timeframe.canonical("md.1m.A%41PL");
    assert_eq!(canonical.as_deref(), Some("md.1m.AAPL"));
}

#[test]
fn the_subject_of_a_series_is_read_back() {
    for (text, expected) in [
        ("md.{timeframe}.{symbol}", "md.4h.BRK%2EB"),
        ("md.*.{symbol}.x", "md.other.BRK%2EB.x"),
        ("md.{symbol}.>", "md.BRK%2EB.other"),
        ("md.>", "md.BRK%2EB.4h"),
        ("md.*", "md.BRK%2EB"),
        ("md", "md"),
    ] {
        let subject = pattern(text).subject_of("BRK.B", "4h", "other");
        assert_eq!(subject, expected);
        if text != "md" {
            assert_eq!(said(text, &subject).0.as_deref(), Some("BRK.B"));
        }
    }
}

#[test]
fn a_dot_of_a_symbol_that_is_not_escaped_is_told_as_that() {
    for (subject, reason, hint) in [
        ("p.BRK.B.1d", Reason::BadSymbol, "BRK%2EB"),
        ("p.BRK.B", Reason::BadTimeframe, "BRK%2EB"),
        ("p.BF.D", Reason::BadTimeframe, "BF%2ED"),
        ("p.0700.1", Reason::BadTimeframe, "0700%2E1"),
        ("p.600519.SS.1m", Reason::BadSymbol, "600519%2ESS"),
    ] {
        let refusal = pattern("p.>").parts(subject).unwrap_err();
        assert_eq!(refusal.reason, reason, "{subject}");
        assert!(refusal.detail.contains(hint), "{}", refusal.detail);
    }
    assert_eq!(said("p.>", "p.A.1H"), some("A", Some("1h")));
}

#[test]
fn a_symbol_has_one_canonical_spelling() {
    for (text, subject, expected) in [
        ("p.>", "p.AAPL.1m", None),
        ("p.>", "p.BTC%2FUSDT.1m", None),
        ("p.>", "p.BTC%2fUSDT.1m", Some("p.BTC%2FUSDT.1m")),
        ("p.>", "p.A%41PL", Some("p.AAPL")),
        ("p.>", "p.EUR=X.1m", Some("p.EUR%3DX.1m")),
        ("*.b.*", "é.b.1m", Some("%C3%A9.b.1m")),
        ("*.b.*", "%c3%a9.b.1m", Some("%C3%A9.b.1m")),
        ("p.>", "p.A%", None),
        ("p.>", "p.%FF", None),
        ("p", "p", None),
    ] {
        let canonical = pattern(text).canonical(subject);
        assert_eq!(canonical.as_deref(), expected, "{subject}");
    }
}

#[test]
fn what_is_no_symbol_or_timeframe_is_refused() {
    let long = format!("p.{}", "x".repeat(65));
    for (subject, reason) in [
        ("p.A%", Reason::BadSymbol),
        ("p.A%2", Reason::BadSymbol),
        ("p.A%zz", Reason::BadSymbol),
        ("p.%FF", Reason::BadSymbol),
        ("p.%0A", Reason::BadSymbol),
        ("p.%éa", Reason::BadSymbol),
        (long.as_str(), Reason::BadSymbol),
        ("p.A.1m.B", Reason::BadSymbol),
        ("p.A.1y", Reason::BadTimeframe),
        ("p.BRK.B", Reason::BadTimeframe),
    ] {
        let refusal = pattern("p.>").parts(subject).unwrap_err();
        assert_eq!(refusal.reason, reason, "{subject}");
    }
    let refusal = pattern("p.>").parts("p.A.1m.B").unwrap_err();
    assert!(refusal.detail.contains("BRK%2EB"), "{}", refusal.detail);
}

#[test]
fn a_pattern_matches_what_comes_in_by_it() {
    for (text, subject, expected) in [
        ("a.b", "a.b", true),
        ("a.b", "a.b.c", false),
        ("a.b", "a", false),
        ("a.*", "a.b", true),
        ("a.*", "a", false),
        ("a.*", "a.b.c", false),
        ("*.b", "a.b", true),
        ("a.>", "a.b.c", true),
        ("a.>", "a", false),
        (">", "a.b", true),
    ] {
        assert_eq!(pattern(text).matches(subject), expected, "{text} {subject}");
    }
}

#[test]
fn patterns_overlap_when_one_subject_can_match_both() {
    for (a, b, expected) in [
        ("a.b", "a.b", true),
        ("a.b", "a.c", false),
        ("a.*", "a.b", true),
        ("a.*", "*.b", true),
        ("a.*", "b.*", false),
        ("a.>", "a", false),
        ("a.>", "a.b.c", true),
        ("a.>", "b.>", false),
        ("a.*.c", "a.>", true),
        ("a.*", "a.b.c", false),
        (">", "x", true),
    ] {
        assert_eq!(pattern(a).overlaps(&pattern(b)), expected, "{a} {b}");
        assert_eq!(pattern(b).overlaps(&pattern(a)), expected, "{b} {a}");
    }
}

#[test]
fn what_is_no_pattern_or_template_is_refused() {
    for text in [
        "",
        ".",
        "a..b",
        "a.",
        "a b",
        "a.\tb",
        "a.>.b",
        "a.b*",
        "a>",
        "a.{x}",
        "a.x{symbol}",
        "a.{timeframe}",
        "a.{symbol}.{symbol}",
        "a.{symbol}.{timeframe}.{timeframe}",
    ] {
        assert!(text.parse::<SubjectPattern>().is_err(), "{text:?}");
    }
    for text in ["", "a..b", "a.*", "a.>", "a.{x}", "a.{symbol", "a.}"] {
        assert!(text.parse::<SubjectTemplate>().is_err(), "{text:?}");
    }
}

#[test]
fn a_template_renders_each_series_and_knows_what_it_can_render() {
    let template: SubjectTemplate = "insight.{symbol}.{timeframe}".parse().unwrap();
    assert_eq!(
        template.render("BRK.B", Timeframe::MINUTE),
        "insight.BRK%2EB.1m"
    );
    assert_eq!(template.pattern().as_str(), "insight.*.*");
    let joined: SubjectTemplate = "x.{symbol}-{timeframe}".parse().unwrap();
    assert_eq!(
        joined.render("{timeframe}", Timeframe::DAY),
        "x.%7Btimeframe%7D-1d"
    );
    assert_eq!(joined.pattern().as_str(), "x.*");
    let plain: SubjectTemplate = "insight.technical".parse().unwrap();
    assert_eq!(plain.render("A", Timeframe::DAY), "insight.technical");
    assert_eq!(plain.pattern().as_str(), "insight.technical");
}

proptest! {
    #[test]
    fn every_symbol_survives_its_subject(symbol in "[^\\p{Cc}]{1,16}") {
        let template: SubjectTemplate = "in.{symbol}.{timeframe}".parse().unwrap();
        let subject = template.render(&symbol, Timeframe::DAY);
        prop_assert_eq!(subject.split('.').count(), 3);
        let pattern = template.pattern();
        let parts = pattern.parts(&subject).unwrap();
        prop_assert_eq!(parts.symbol.as_deref(), Some(symbol.as_str()));
        prop_assert_eq!(parts.timeframe, Some(Timeframe::DAY));
    }

    #[test]
    fn no_subject_panics(subject in "[a-z%0-9é.]{0,24}") {
        let _ = pattern("p.*.>").parts(&subject);
    }
}
