use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::elements::MAX_ROWS;
use super::*;
use crate::tools::bars_file::{SYMBOL, TIMEFRAME};

proptest! {
    #[test]
    fn whatever_is_no_json_passes_as_it_is(line in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assume!(serde_json::from_slice::<serde_json::Value>(&line).is_err());
        prop_assert_eq!(fill_in(line.clone(), &defaults()), line);
    }

    #[test]
    fn a_bar_keeps_all_its_fields(
        fields in prop::collection::hash_map("[a-z]{1,3}|symbol|tf", "[0-9]{1,20}", 0..6),
    ) {
        let members: Vec<String> =
            fields.iter().map(|(name, digits)| format!("\"{name}\":1{digits}")).collect();
        let line = format!("{{{}}}", members.join(",")).into_bytes();
        let filled = fill_in(line, &defaults());
        let after: HashMap<String, &RawValue> = serde_json::from_slice(&filled).unwrap();
        for (name, digits) in &fields {
            prop_assert_eq!(after[name].get(), format!("1{digits}"));
        }
        prop_assert!(SYMBOL.iter().any(|name| after.contains_key(*name)));
        prop_assert!(TIMEFRAME.iter().any(|name| after.contains_key(*name)));
    }
}

fn defaults() -> ReadOptions {
    ReadOptions {
        symbol: Some("A\"B".to_owned()),
        timeframe: Some("5m".parse().unwrap()),
        ..ReadOptions::default()
    }
}

fn lines(text: &[u8], options: ReadOptions) -> Vec<(u64, String)> {
    Json::new(text, options)
        .map(Result::unwrap)
        .map(|line| {
            (
                line.number,
                String::from_utf8_lossy(&line.payload).into_owned(),
            )
        })
        .collect()
}

#[test]
fn lines_are_numbered_as_in_the_file_and_blank_ones_passed_over() {
    let text = b"\xef\xbb\xbf{\"c\":1.10}\r\n\n  \n[{\"c\":2}]\nnonsense \xff";
    assert_eq!(
        lines(text, ReadOptions::default()),
        [
            (1, "{\"c\":1.10}".to_owned()),
            (4, "[{\"c\":2}]".to_owned()),
            (5, "nonsense \u{fffd}".to_owned()),
        ]
    );
}

#[test]
fn defaults_are_added_only_where_a_bar_names_none_and_digits_stay() {
    let filled = |line: &str| lines(line.as_bytes(), defaults())[0].1.clone();
    assert_eq!(
        filled(r#"{"c":1.10e0}"#),
        r#"{"symbol":"A\"B","timeframe":"5m","c":1.10e0}"#
    );
    assert_eq!(filled(r#"{"S":"X","i":"1m"}"#), r#"{"S":"X","i":"1m"}"#);
    assert_eq!(
        filled(r#"{"ticker":"X","c":0.1}"#),
        r#"{"timeframe":"5m","ticker":"X","c":0.1}"#
    );
    assert_eq!(
        filled(r#"[{"s":"X","tf":"1h"}, {}, 7]"#),
        r#"[{"s":"X","tf":"1h"},{"symbol":"A\"B","timeframe":"5m"},7]"#
    );
    assert_eq!(filled("{\"c\":"), "{\"c\":");
    assert_eq!(filled("7"), "7");
}

#[test]
fn a_line_without_end_is_refused_and_the_next_one_read() {
    let limit = MAX_VALUE;
    let mut text = vec![b'x'; limit];
    text.extend_from_slice(b"yyy\n{}\n");
    let mut lines = Json::new(text.as_slice(), ReadOptions::default());
    assert!(matches!(
        lines.next(),
        Some(Err(LineError::Bad { number: 1, .. }))
    ));
    assert_eq!(lines.next().unwrap().unwrap().number, 2);
    assert!(lines.next().is_none());
}

#[test]
fn values_that_span_lines_are_messages_with_the_line_they_begin_on() {
    let text = br#"
{
  "s": "A}",
  "c": 1.10
}
[
  {"s": "B", "c": 2},
  {
    "s": "C",
    "v": NaN
  },
  7
]
[
  [1704067200000, 1, 2],
  [1704067260000, 3, 4]
]
[
  1704067200000,
  1
]
{"s":"D"},
"#;
    assert_eq!(
        lines(text, ReadOptions::default()),
        [
            (2, "{\n  \"s\": \"A}\",\n  \"c\": 1.10\n}".to_owned()),
            (7, r#"{"s": "B", "c": 2}"#.to_owned()),
            (8, "{\n    \"s\": \"C\",\n    \"v\": NaN\n  }".to_owned()),
            (12, "7".to_owned()),
            (
                15,
                "[[1704067200000, 1, 2],[1704067260000, 3, 4]]".to_owned()
            ),
            (18, "[\n1704067200000,\n  1\n]".to_owned()),
            (22, r#"{"s":"D"}"#.to_owned()),
        ]
    );
}

#[test]
fn an_array_larger_than_a_message_is_taken_apart() {
    let bars = 5_000;
    let objects: Vec<String> = (0..bars)
        .map(|at| format!(r#"{{"s":"A","t":{at},"c":1.10}}"#))
        .collect();
    let text = format!("[{}]\n{{}}", objects.join(", "));
    let read = lines(text.as_bytes(), ReadOptions::default());
    assert_eq!(read.len(), bars + 1);
    assert!(
        std::iter::zip(&read, &objects)
            .all(|((number, bar), object)| *number == 1 && bar == object)
    );
    assert_eq!(read[bars], (2, "{}".to_owned()));

    let rows: Vec<String> = (0..bars)
        .map(|at| format!("[{},1,2,3,4,5]", 1_704_067_200_000_usize + at))
        .collect();
    let read = lines(
        format!("[{}]", rows.join(",")).as_bytes(),
        ReadOptions::default(),
    );
    let parts: Vec<String> = rows
        .chunks(MAX_ROWS)
        .map(|part| format!("[{}]", part.join(",")))
        .collect();
    assert_eq!(
        read.into_iter().map(|(_, text)| text).collect::<Vec<_>>(),
        parts
    );
}

#[test]
fn a_line_that_is_cut_off_takes_no_other_with_it() {
    for cut in [
        r#"{"s":"A","c":"#,
        r#"{"s":"A"#,
        r#"[{"s":"A"#,
        r#"{"s":[1,"#,
    ] {
        let text = format!("{cut}\n{{\"s\":\"B\"}}\n");
        let read = lines(text.as_bytes(), ReadOptions::default());
        assert_eq!(
            read,
            [(1, cut.to_owned()), (2, r#"{"s":"B"}"#.to_owned())],
            "{cut}"
        );
    }
    let read = lines(b"{} {}\n[1] x\n", ReadOptions::default());
    assert_eq!(read, [(1, "{} {}".to_owned()), (2, "[1] x".to_owned())]);
}

/// The messages of a text, and the notes on them.
fn noted(text: &str, options: ReadOptions) -> (Vec<(u64, String)>, Vec<String>) {
    let mut json = Json::new(text.as_bytes(), options);
    let lines = json
        .by_ref()
        .map(Result::unwrap)
        .map(|line| (line.number, String::from_utf8(line.payload).unwrap()))
        .collect();
    (lines, json.notes())
}

fn bar(symbol: &str, minute: usize) -> String {
    format!(
        r#"{{"s":"{symbol}","t":{},"o":1,"h":1,"l":1,"c":1}}"#,
        1_704_067_200 + 60 * minute
    )
}

#[test]
fn bars_of_an_array_over_several_lines_are_put_in_the_order_of_time_and_that_is_said() {
    // two series, newest first, and something that is no bar
    let elements = [
        bar("A", 2),
        bar("B", 1),
        "7".to_owned(),
        bar("A", 1),
        bar("A", 0),
        bar("B", 0),
    ];
    let text = format!("[\n{}\n]\n{}\n", elements.join(",\n"), bar("A", 3));
    let (lines, notes) = noted(&text, ReadOptions::default());
    let expected = [
        (6, bar("A", 0)),
        (7, bar("B", 0)),
        (4, "7".to_owned()),
        (5, bar("A", 1)),
        (2, bar("A", 2)),
        (3, bar("B", 1)),
        (9, bar("A", 3)),
    ];
    assert_eq!(lines, expected);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("put in"), "{notes:?}");

    let in_order = format!("[\n{},\n{}\n]", bar("A", 1), bar("A", 1));
    let (lines, notes) = noted(&in_order, ReadOptions::default());
    assert_eq!((lines.len(), notes.len()), (2, 0));
}

#[test]
fn an_array_of_any_length_is_put_in_order_across_its_messages() {
    let count = 3 * MAX_ROWS + 500;
    let objects: Vec<String> = (0..count).map(|minute| bar("A", minute)).collect();
    let newest_first: Vec<String> = objects.iter().rev().cloned().collect();
    let (lines, notes) = noted(
        &format!("[{}]", newest_first.join(",")),
        ReadOptions::default(),
    );
    assert!(lines.iter().map(|(_, text)| text).eq(&objects));
    assert_eq!(notes.len(), 1);

    let row = |minute: usize| format!("[{}000,1,1,1,1,5]", 1_704_067_200 + 60 * minute);
    let rows: Vec<String> = (0..count).rev().map(row).collect();
    let minutes = ReadOptions {
        timeframe: Some("1m".parse().unwrap()),
        ..defaults()
    };
    let (lines, notes) = noted(&format!("[{}]", rows.join(",")), minutes);
    let read: Vec<String> = (0..count).map(row).collect();
    let parts: Vec<String> = read
        .chunks(MAX_ROWS)
        .map(|part| format!("[{}]", part.join(",")))
        .collect();
    assert!(lines.iter().map(|(_, text)| text).eq(&parts));
    assert_eq!(notes.len(), 1);
}

/// Lines are messages as a source sent them, one after another: a replay takes them as they came.
#[test]
fn lines_stay_as_they_are() {
    let text = format!("{}\n{}\n", bar("A", 1), bar("A", 0));
    let (lines, notes) = noted(&text, ReadOptions::default());
    assert_eq!(lines, [(1, bar("A", 1)), (2, bar("A", 0))]);
    assert_eq!(notes, [""; 0]);
}
