//! Buckets of sessions against pandas, and by hand where days change their clocks.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(zone: &str, session: &str) -> Calendar {
    let session = session.parse().unwrap();
    Calendar::of_days(zone.parse().unwrap()).with_session(Some(session))
}

fn new_york() -> Calendar {
    calendar("America/New_York", "09:30-16:00 America/New_York")
}

fn timeframe(name: &str) -> Timeframe {
    name.parse().unwrap()
}

fn bucket(calendar: &Calendar, name: &str, part: &str, time: &str) -> Option<(String, String)> {
    let bucket = calendar.bucket(timeframe(name), timeframe(part), at(time))?;
    Some((bucket.open.to_string(), bucket.end.to_string()))
}

fn span(open: &str, end: &str) -> Option<(String, String)> {
    Some((open.to_owned(), end.to_owned()))
}

/// See tests/data/aggregate/README.md.
#[test]
fn buckets_of_sessions_are_those_of_pandas() {
    type Case = (
        String,
        String,
        String,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<u64>,
    );
    #[derive(serde::Deserialize)]
    struct Oracle {
        buckets: Vec<Case>,
    }
    let data = include_str!("../../../tests/data/aggregate/sessions.json");
    let Oracle { buckets } = serde_json::from_str(data).unwrap();
    assert!(buckets.len() >= 600);
    assert!(buckets.iter().any(|case| case.5.is_none()));
    for (name, zone, session, part, time, open, end, expected) in buckets {
        let calendar = calendar(&zone, &session);
        let found = bucket(&calendar, &name, &part, &time);
        assert_eq!(found, open.zip(end), "{name} {session} {time}");
        let whole = calendar.bucket(timeframe(&name), timeframe(&part), at(&time));
        let filled =
            whole.and_then(|one| calendar.expected(timeframe(&name), timeframe(&part), &one));
        assert_eq!(filled, expected, "{name} {session} {time}");
    }
}

#[test]
fn days_weeks_and_months_are_their_sessions() {
    let calendar = new_york();
    let part = Timeframe::MINUTE;
    for (name, time, open, end, expected) in [
        // clocks change between the days
        (
            "1d",
            "2024-03-11T13:30:00Z",
            "2024-03-11T13:30:00Z",
            "2024-03-11T20:01:00Z",
            390,
        ),
        (
            "1d",
            "2024-11-01T20:00:59Z",
            "2024-11-01T13:30:00Z",
            "2024-11-01T20:01:00Z",
            390,
        ),
        (
            "1w",
            "2024-03-06T15:00:00Z",
            "2024-03-04T14:30:00Z",
            "2024-03-10T20:01:00Z",
            7 * 390,
        ),
        (
            "1M",
            "2024-02-29T20:59:00Z",
            "2024-02-01T14:30:00Z",
            "2024-02-29T21:01:00Z",
            29 * 390,
        ),
    ] {
        assert_eq!(
            bucket(&calendar, name, "1m", time),
            span(open, end),
            "{name} {time}"
        );
        let whole = calendar.bucket(timeframe(name), part, at(time)).unwrap();
        let filled = calendar.expected(timeframe(name), part, &whole);
        assert_eq!(filled, Some(expected), "{name}");
    }
    let label = |name: &str, open| calendar.label(timeframe(name), at(open)).to_string();
    assert_eq!(label("1d", "2024-03-11T13:30:00Z"), "2024-03-11T04:00:00Z");
    assert_eq!(label("1w", "2024-03-04T14:30:00Z"), "2024-03-04T05:00:00Z");
    assert_eq!(label("1h", "2024-03-11T13:30:00Z"), "2024-03-11T13:30:00Z");
    for time in ["2024-03-11T13:29:59Z", "2024-03-11T20:01:00Z"] {
        assert_eq!(bucket(&calendar, "1d", "1m", time), None);
    }
    // days are not cut, and nor is a week of them
    let week = bucket(&calendar, "1w", "1d", "2024-03-10T05:00:00Z");
    assert_eq!(week, span("2024-03-04T05:00:00Z", "2024-03-11T04:00:00Z"));
    // an hour does not fill a session of six and a half
    let day = calendar
        .bucket(timeframe("1d"), part, at("2024-03-11T13:30:00Z"))
        .unwrap();
    let hours = calendar.expected(timeframe("1d"), timeframe("1h"), &day);
    assert_eq!(hours, None);
    assert_eq!(calendar.auction_parts(timeframe("1d"), part, &day), 1);
    let halves = calendar.auction_parts(timeframe("1d"), timeframe("30s"), &day);
    assert_eq!(halves, 2);
}

#[test]
fn a_bar_is_outside_unless_it_touches_a_session() {
    let calendar = new_york();
    for (part, time, expected) in [
        ("1m", "2024-03-11T13:29:00Z", true),
        ("1m", "2024-03-11T13:29:30Z", false),
        ("1m", "2024-03-11T13:30:00Z", false),
        ("1m", "2024-03-11T19:59:00Z", false),
        ("1m", "2024-03-11T20:00:00Z", false),
        ("1m", "2024-03-11T20:00:01Z", true),
        ("1m", "2024-03-11T20:01:00Z", true),
        ("30s", "2024-03-11T20:00:30Z", false),
        // the hours after trading are no auction
        ("5m", "2024-03-11T20:00:00Z", true),
        ("1h", "2024-03-11T13:00:00Z", false),
        ("1h", "2024-03-11T19:30:00Z", false),
        ("12h", "2024-03-11T00:00:00Z", true),
        ("12h", "2024-03-11T12:00:00Z", false),
        ("12h", "2024-03-11T20:30:00Z", true),
        ("1d", "2024-03-11T04:00:00Z", false),
    ] {
        let is_outside = calendar.is_outside(timeframe(part), at(time));
        assert_eq!(is_outside, expected, "{part} {time}");
    }
    assert!(!Calendar::UTC.is_outside(Timeframe::MINUTE, at("2024-03-11T00:00:00Z")));
}

#[test]
fn no_bar_is_missing_while_the_market_is_closed() {
    let calendar = new_york();
    let between = |name: &str, before: &str, time: &str| {
        calendar.bars_between(timeframe(name), at(before), at(time))
    };
    let (friday, monday) = ("2024-03-08", "2024-03-11");
    for (name, before, time, expected) in [
        ("1h", "T20:30:00Z", "T13:30:00Z", 0),
        ("1h", "T18:30:00Z", "T13:30:00Z", 2),
        ("1h", "T20:30:00Z", "T15:30:00Z", 2),
        ("5m", "T20:55:00Z", "T13:30:00Z", 0),
        ("5m", "T20:50:00Z", "T13:35:00Z", 2),
    ] {
        let (before, time) = (format!("{friday}{before}"), format!("{monday}{time}"));
        assert_eq!(
            between(name, &before, &time),
            expected,
            "{name} {before} {time}"
        );
    }
    assert_eq!(
        between("5m", "2024-03-08T15:00:00Z", "2024-03-08T15:15:00Z"),
        2
    );
    assert_eq!(
        between("1d", "2024-03-08T05:00:00Z", "2024-03-11T04:00:00Z"),
        2
    );
    let without = Calendar::UTC.bars_between(
        timeframe("1h"),
        at("2024-03-08T20:00:00Z"),
        at("2024-03-09T00:00:00Z"),
    );
    assert_eq!(without, 3);
}

#[test]
fn the_text_of_a_calendar_has_its_session() {
    assert_eq!(format!("{:?}", Calendar::UTC), "UTC");
    assert_eq!(
        format!("{:?}", new_york()),
        "America/New_York of 09:30-16:00 America/New_York"
    );
}
