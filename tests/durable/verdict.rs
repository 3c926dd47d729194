//! Each promise against the contents of the streams.
//!
//! The comparison is that of the command `verify`. The expected signals come from `replay`, and the
//! expected refusals from the messages themselves, not from the streams as in the command. Pure:
//! everything is given.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use technical_analysis_agent::tools::verify::key::{Head, Key, hash};
use technical_analysis_agent::tools::verify::letters::{
    Claim as LetterClaim, Due as DueLetter, Letter, Letters, Place,
};
use technical_analysis_agent::tools::verify::signals::{Claim, Due, Signals};
use technical_analysis_agent::wire::Reason;

use crate::history::Stored;
use crate::market::EXPECT;

/// Verdict on one promise.
#[derive(Debug, Default)]
pub struct Verdict {
    pub promise: &'static str,
    /// Number of cases that were judged.
    pub judged: usize,
    /// Those in which it was broken.
    pub faults: Vec<String>,
}

/// Promises 1 to 3. `replayed` is what each configuration that was in use makes of the bars: which
/// bars have signals must be the same in all of them, and each signal must be that of one.
pub fn of_signals(signals: &[Vec<u8>], replayed: &[Vec<Vec<u8>>]) -> [Verdict; 3] {
    let mut once = Verdict {
        promise: "1 each bar has one signal",
        ..Verdict::default()
    };
    let mut order = Verdict {
        promise: "2 in the order of the bars",
        judged: signals.len(),
        ..Verdict::default()
    };
    let mut bytes = Verdict {
        promise: "3 to the byte what replay gives",
        judged: signals.len(),
        ..Verdict::default()
    };
    let mut found = Signals::default();
    for (at, signal) in signals.iter().enumerate() {
        match Head::read(signal) {
            Some(head) => found.add(&head.key, hash("", signal), at as u64, 0),
            None => once.faults.push(format!("no signal: number {at}")),
        }
    }
    // after a reset of its series, a bar may have the time of one before
    let mut due: Vec<(Key, usize)> = Vec::new();
    let mut hashes: HashMap<(Key, usize), Vec<u64>> = HashMap::new();
    for lines in replayed {
        let mut times: HashMap<Key, usize> = HashMap::new();
        for line in lines {
            let key = Head::read(line).expect("replay prints signals").key;
            let time = times.entry(key.clone()).or_default();
            *time += 1;
            let one = (key, *time);
            let all = hashes.entry(one.clone()).or_default();
            if all.is_empty() {
                due.push(one);
            }
            all.push(hash("", line));
        }
    }
    once.judged = due.len();
    for one in &due {
        let (key, hashes) = (&one.0, &hashes[one]);
        let one = Due {
            key,
            hashes,
            input: 0,
            since: 0,
            in_range: true,
        };
        match found.claim(one, 0, 0, 0) {
            Claim::Equal(_) => {}
            Claim::Different(_) => bytes.faults.push(format!("other bytes: {key:?}")),
            Claim::Nothing => once.faults.push(format!("missing: {key:?}")),
        }
        if hashes.len() != replayed.len() {
            let told = format!("due under one configuration only: {key:?}");
            once.faults.push(told);
        }
    }
    found.end_partition(false, |one| {
        order.faults.push(format!("out of order: {:?}", one.key));
    });
    found.left(|one| {
        once.faults.push(match one.twin {
            Some(_) => format!("2 times: {:?}", one.key),
            None => format!("a signal of no bar: {:?}", one.key),
        });
    });
    [once, order, bytes]
}

/// Reason for which a stored message must be refused: the one it names itself, or that of an
/// unreadable message.
pub fn expected_reason(bar: &Stored) -> Option<String> {
    match bar.header(EXPECT) {
        Some(reason) => Some(reason),
        None if serde_json::from_slice::<Value>(&bar.payload).is_err() => {
            Some("not_json".to_owned())
        }
        None => None,
    }
}

fn place(subject: &str, seq: u64) -> Place {
    Place::new(subject == "raw.market_data.price", seq)
}

fn reason(name: &str) -> Option<Reason> {
    Reason::ALL.into_iter().find(|reason| reason.name() == name)
}

/// Promise 4: one dead letter for what is refused, with the reason, and none for anything else.
/// `bars` are all messages of all streams of bars.
pub fn of_letters(bars: &[Stored], letters: &[Stored]) -> Verdict {
    let mut verdict = Verdict {
        promise: "4 one dead letter for what is refused",
        ..Verdict::default()
    };
    let all = letters.iter().enumerate().map(|(at, letter)| {
        let subject = letter.header("Ta-Subject").unwrap_or_default();
        let seq = letter.header("Ta-Input-Seq").unwrap_or_default();
        Letter {
            place: place(&subject, seq.parse().unwrap_or(0)),
            reason: reason(&letter.header("Ta-Reason").unwrap_or_default()),
            hash: 0,
            // what a message says of itself is not which of its elements is bad
            is_cut: true,
            seq: at as u64,
        }
    });
    let mut written = Letters::new(all.collect(), 1);
    let mut good = BTreeSet::new();
    for bar in bars {
        let place = place(bar.original(), bar.seq);
        let Some(expected) = expected_reason(bar) else {
            good.insert(place);
            continue;
        };
        verdict.judged += 1;
        let due = DueLetter {
            reason: reason(&expected).expect("a reason that there is"),
            hash: 0,
            is_certain: true,
        };
        match written.claim(place, &[due])[0] {
            LetterClaim::Equal => {}
            LetterClaim::Different(at) => verdict.faults.push(format!(
                "dead letter with another reason than {expected}: {place:?}, {:?}",
                letters[at as usize].header("Ta-Reason")
            )),
            LetterClaim::Nothing => verdict.faults.push(format!(
                "0 dead letters for one refused message: {place:?}, {expected}"
            )),
        }
    }
    for left in written.left() {
        let place = left.letter.place;
        verdict.faults.push(match left.twin {
            Some(_) => format!("2 dead letters for one refused message: {place:?}"),
            None if good.contains(&place) => {
                let detail = letters[left.letter.seq as usize].header("Ta-Detail");
                format!("dead letter for what is good: {place:?}, {detail:?}")
            }
            None => format!("dead letters for no message: {place:?}"),
        });
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(symbol: &str, minute: u32, revision: u32) -> Vec<u8> {
        format!(
            r#"{{"symbol":"{symbol}","timeframe":"1m","timestamp":"2024-01-01T00:{minute:02}:00Z","revision":{revision}}}"#
        )
        .into_bytes()
    }

    fn found(signals: &[Vec<u8>], replayed: &[Vec<Vec<u8>>]) -> Vec<String> {
        let verdicts = of_signals(signals, replayed);
        verdicts.into_iter().flat_map(|one| one.faults).collect()
    }

    fn good() -> Vec<Vec<u8>> {
        vec![
            line("A", 1, 0),
            line("B", 1, 0),
            line("A", 2, 0),
            line("A", 2, 1),
        ]
    }

    /// A judge that finds nothing proves nothing.
    #[test]
    fn every_kind_of_fault_is_found() {
        let good = good();
        assert_eq!(found(&good, std::slice::from_ref(&good)), [""; 0]);
        let mut altered = good.clone();
        let last = altered[3].len() - 1;
        altered[3].insert(last, b' ');
        let cases = [
            ("missing", good[..3].to_vec()),
            ("2 times", [good.clone(), vec![good[1].clone()]].concat()),
            ("other bytes", altered),
            ("no bar", [good.clone(), vec![line("C", 1, 0)]].concat()),
            (
                "out of order",
                vec![
                    good[2].clone(),
                    good[1].clone(),
                    good[0].clone(),
                    good[3].clone(),
                ],
            ),
        ];
        for (what, signals) in cases {
            let found = found(&signals, std::slice::from_ref(&good));
            assert!(found.iter().any(|f| f.contains(what)), "{what}: {found:?}");
        }
    }

    #[test]
    fn of_two_configurations_each_signal_may_be_of_either_and_of_no_third() {
        let spaced = |line: &Vec<u8>| [&line[..line.len() - 1], b" }"].concat();
        let old = good();
        let new: Vec<Vec<u8>> = old.iter().map(spaced).collect();
        let both = [old.clone(), new.clone()];
        let mut mixed = old.clone();
        mixed[2].clone_from(&new[2]);
        assert_eq!(found(&mixed, &both), [""; 0]);
        mixed[2] = spaced(&new[2]);
        assert!(found(&mixed, &both)[0].contains("other bytes"));
        // a bar that only one of them has a signal for is a question without an answer
        assert!(found(&old, &[old.clone(), new[..3].to_vec()])[0].contains("one configuration"));
    }

    fn message(seq: u64, payload: &str, headers: &[(&str, &str)]) -> Stored {
        let mut all = async_nats::HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        Stored {
            seq,
            at: 0,
            subject: "p.3.raw.A.1m".to_owned(),
            headers: all,
            payload: payload.as_bytes().to_vec(),
        }
    }

    #[test]
    fn dead_letters_are_counted_for_each_message_and_read() {
        let bars = [
            message(1, "{}", &[]),
            message(2, "{", &[]),
            message(3, "{}", &[(EXPECT, "late")]),
        ];
        let letter = |seq: &str, reason: &str| {
            let headers = [
                ("Ta-Subject", "raw.A.1m"),
                ("Ta-Input-Seq", seq),
                ("Ta-Reason", reason),
            ];
            message(0, "", &headers)
        };
        let good = vec![letter("2", "not_json"), letter("3", "late")];
        assert_eq!(of_letters(&bars, &good).faults, [""; 0]);
        assert_eq!(of_letters(&bars, &good).judged, 2);
        let cases = [
            ("0 dead letters", good[..1].to_vec()),
            (
                "2 dead letters",
                [good.clone(), vec![good[0].clone()]].concat(),
            ),
            (
                "what is good",
                [good.clone(), vec![letter("1", "late")]].concat(),
            ),
            (
                "no message",
                [good.clone(), vec![letter("4", "late")]].concat(),
            ),
            (
                "another reason",
                vec![good[0].clone(), letter("3", "future")],
            ),
        ];
        for (what, letters) in cases {
            let found = of_letters(&bars, &letters).faults;
            assert!(found.iter().any(|f| f.contains(what)), "{what}: {found:?}");
        }
    }
}
