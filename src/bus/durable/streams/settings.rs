//! Names the settings behind a difference between a stream and the configuration.
//!
//! A stream that is there was made by a member of the group. When it does not fit, somebody has
//! changed a setting on one member, and needs to hear which one.

use async_nats::jetstream::stream::Config as StreamConfig;

use super::holds::Holds;

/// Says which settings differ from the stream, and what to do about it; `None` for a difference
/// that no setting explains.
pub(super) fn blame(
    holds: Holds,
    what: &str,
    wanted: &StreamConfig,
    actual: &StreamConfig,
) -> Option<String> {
    let name = &wanted.name;
    match (holds, what) {
        (Holds::Signals, "subjects") => {
            let settings = ["TECHNICAL_PUBLISH_SUBJECT", "TECHNICAL_DEAD_LETTER_SUBJECT"];
            let missing: Vec<String> = settings
                .iter()
                .zip(&wanted.subjects)
                .filter(|(_, subject)| !actual.subjects.contains(subject))
                .map(|(setting, subject)| format!("{setting} ({subject})"))
                .collect();
            if missing.is_empty() {
                return None;
            }
            Some(format!(
                "the stream {name} stores {}, and not the subject of {}: this member would not \
                 work as the other members of its group do; give it their setting, or, to change \
                 it for all of them, stop them all, run `nats stream edit {name} --subjects='{}'` \
                 and start them again",
                actual.subjects.join(", "),
                missing.join(" and of "),
                wanted.subjects.join(",")
            ))
        }
        (Holds::Bars | Holds::Source, "subjects" | "subject transform" | "sources") => {
            let from = origins(actual);
            Some(format!(
                "the stream {name} takes bars from {from}, and TECHNICAL_SUBJECTS and \
                 TECHNICAL_INPUT_STREAM of this member ask for {}: it would not work as the other \
                 members of its group do; give it their settings, or, to change them for all \
                 members, stop them all, set TECHNICAL_BARS_STREAM of each to a new name or remove \
                 {name} with the bars in it, and start them again",
                origins(wanted)
            ))
        }
        _ => None,
    }
}

/// The subjects and streams that a stream takes its messages from.
fn origins(config: &StreamConfig) -> String {
    let subjects = config
        .subjects
        .iter()
        .map(|subject| format!("the subject {subject}"));
    let sources = config.sources.iter().flatten().map(|source| {
        let filters: Vec<&str> = source
            .filter_subject
            .iter()
            .map(String::as_str)
            .chain(source.subject_transforms.iter().map(|t| t.source.as_str()))
            .filter(|filter| !filter.is_empty())
            .collect();
        if filters.is_empty() {
            format!("the stream {}", source.name)
        } else {
            format!("the stream {} ({})", source.name, filters.join(", "))
        }
    });
    let all: Vec<String> = subjects.chain(sources).collect();
    if all.is_empty() {
        "nowhere".to_owned()
    } else {
        all.join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::{Source, SubjectTransform};

    use super::*;

    fn signals(subjects: [&str; 3]) -> StreamConfig {
        StreamConfig {
            name: "SIGNALS".to_owned(),
            subjects: subjects.map(str::to_owned).to_vec(),
            ..StreamConfig::default()
        }
    }

    #[test]
    fn the_setting_that_differs_is_named_with_what_to_do() {
        let actual = signals(["out.*", "dead", "commit.SIGNALS.>"]);
        let said = |subjects| blame(Holds::Signals, "subjects", &signals(subjects), &actual);
        let dead = said(["out.*", "dead.letters", "commit.SIGNALS.>"]).unwrap();
        assert!(
            dead.contains("TECHNICAL_DEAD_LETTER_SUBJECT (dead.letters)"),
            "{dead}"
        );
        assert!(!dead.contains("TECHNICAL_PUBLISH_SUBJECT"), "{dead}");
        assert!(
            dead.contains("--subjects='out.*,dead.letters,commit.SIGNALS.>'"),
            "{dead}"
        );
        let both = said(["in.*", "dead.letters", "commit.SIGNALS.>"]).unwrap();
        assert!(
            both.contains("TECHNICAL_PUBLISH_SUBJECT (in.*) and of TECHNICAL_DEAD"),
            "{both}"
        );
        // more than we asked for is no setting of ours
        assert_eq!(said(["out.*", "dead", "commit.SIGNALS.>"]), None);
    }

    #[test]
    fn a_stream_of_bars_says_where_it_takes_them_from() {
        let bars = |subjects: &[&str], source: Option<&str>| StreamConfig {
            name: "BARS".to_owned(),
            subjects: subjects.iter().map(|s| (*s).to_owned()).collect(),
            sources: source.map(|name| {
                vec![Source {
                    name: name.to_owned(),
                    subject_transforms: vec![SubjectTransform {
                        source: "a.*".to_owned(),
                        destination: "p.a".to_owned(),
                    }],
                    ..Source::default()
                }]
            }),
            ..StreamConfig::default()
        };
        let said = blame(
            Holds::Bars,
            "sources",
            &bars(&[], Some("MARKET")),
            &bars(&["a.*"], Some("IN_BARS")),
        )
        .unwrap();
        assert!(
            said.contains("takes bars from the subject a.* and the stream IN_BARS (a.*)"),
            "{said}"
        );
        assert!(said.contains("ask for the stream MARKET (a.*)"), "{said}");
        assert!(said.contains("TECHNICAL_BARS_STREAM"), "{said}");
    }
}
