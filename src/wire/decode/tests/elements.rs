//! Messages and their elements: objects, arrays and everything else.

use super::*;

#[test]
fn what_is_no_object_is_refused_by_its_kind() {
    for text in ["5", "\"bar\"", "true", "null", "1e400", " 7 "] {
        assert_eq!(reason(text), Reason::WrongType, "{text}");
    }
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "{}x",
        "nul",
        "{\"a\":}",
        "[{},]",
        "[{}",
        "\u{feff}{}",
    ] {
        assert_eq!(reason(text), Reason::NotJson, "{text}");
    }
    assert_eq!(reason("[]"), Reason::Empty);
    assert_eq!(reason(" [ ] "), Reason::Empty);
    let bytes = b"{\"source\":\"\xff\"}";
    let all = decode_under(bytes, &SILENT);
    assert_eq!(all[0].as_ref().unwrap_err().reason, Reason::NotJson);
    assert_eq!(all[0].as_ref().unwrap_err().payload, bytes);
}

#[test]
fn the_elements_of_an_array_stand_alone() {
    let good = full().to_string();
    let bad = with("close", "1e400");
    let text = format!(" [{good}, 3 ,{bad}\n,[],{{}},{good}]");
    let all = decode(&text);
    assert_eq!(
        refused_between(&all),
        [
            (Reason::WrongType, "3"),
            (Reason::BadNumber, bad.as_str()),
            (Reason::WrongType, "[]"),
            (Reason::MissingField, "{}"),
        ]
    );
    assert_eq!(
        all[2].as_ref().unwrap_err().symbol.as_deref(),
        Some("BTCUSDT")
    );
}

#[test]
fn unknown_fields_and_deep_nesting_are_no_obstacle() {
    let deep = format!("{}{}", "[".repeat(1_500), "]".repeat(1_500));
    assert!(one(&with("extra", &deep)).is_ok());
    assert!(one(&with("extra", "1e400")).is_ok());
    assert!(one(&with("extra", "\"\\ud800\"")).is_ok());
    assert_eq!(reason(&with("open", &deep)), Reason::WrongType);
}

#[test]
fn a_refused_subject_refuses_the_whole_message_once() {
    let subject = Err(SubjectRefusal {
        reason: Reason::BadTimeframe,
        detail: "why".to_owned(),
    });
    let text = format!("[{0},{0}]", full());
    let all = decode_under(text.as_bytes(), &subject);
    assert_eq!(all.len(), 1);
    let refusal = all[0].as_ref().unwrap_err();
    assert_eq!(
        (refusal.reason, &*refusal.detail),
        (Reason::BadTimeframe, "why")
    );
    assert_eq!(refusal.payload, text.as_bytes());
}

/// Elements of a long array beyond the number accepted from one message.
#[test]
fn what_is_beyond_the_elements_that_are_taken_is_refused_as_one() {
    let decoder = Decoder::new(InputRules::new(1 << 20, Timeframe::MINUTE));
    let array = |elements: usize| format!(" [{}\n]\n", vec!["1 "; elements].join(", "));
    let decoded = |payload: &str| {
        let mut refused = Vec::new();
        decoder.decode(payload.as_bytes(), &SILENT, NOW, |element, bytes| {
            let refusal = element.unwrap_err();
            assert_eq!(refusal.payload, bytes);
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            refused.push((refusal.reason, refusal.elements, text));
        });
        refused
    };
    let exactly = decoded(&array(4_096));
    assert_eq!(exactly.len(), 4_096);
    let single = (Reason::WrongType, 1, "1".to_owned());
    assert!(exactly.iter().all(|refused| *refused == single));

    let more = decoded(&array(4_099));
    assert_eq!(more[..4_096], exactly);
    let rest = (Reason::TooManyElements, 3, "1 , 1 , 1 \n]".to_owned());
    assert_eq!(more[4_096..], [rest]);

    // all of it must be JSON, including the elements beyond the limit
    let broken = array(5_000).replace('\n', "x");
    let refused = decoded(&broken);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, Reason::NotJson);
}
