//! Which subjects are read and written, and that nothing written is read again.

use crate::wire::{SubjectPattern, SubjectTemplate};

use super::check::{Check, field};
use super::raw::Raw;

/// The subjects of a configuration.
pub(super) struct Subjects {
    pub inputs: Vec<SubjectPattern>,
    pub publish: SubjectTemplate,
    pub forming: SubjectTemplate,
    pub dead_letter: String,
}

pub(super) fn read(raw: &Raw, check: &mut Check<'_>) -> Subjects {
    let template = |text: &str| {
        text.parse::<SubjectTemplate>()
            .map_err(|error| error.to_string())
    };
    let inputs = check.read(&field!(raw.technical_subjects), patterns);
    let publish = check.read(&field!(raw.technical_publish_subject), template);
    let forming = check.read(&field!(raw.technical_forming_subject), template);
    let dead_letter = check.read(&field!(raw.technical_dead_letter_subject), |text| {
        if text.contains('{') {
            return Err("must be one subject without placeholders".to_owned());
        }
        template(text)
    });

    let outputs = [
        ("TECHNICAL_PUBLISH_SUBJECT", publish.pattern()),
        ("TECHNICAL_FORMING_SUBJECT", forming.pattern()),
        ("TECHNICAL_DEAD_LETTER_SUBJECT", dead_letter.pattern()),
    ];
    for (at, (name, output)) in outputs.iter().enumerate() {
        for input in &inputs {
            check.require(
                !output.overlaps(input),
                &[name, "TECHNICAL_SUBJECTS"],
                format!("`{input}` would read back what is written to `{output}`"),
            );
        }
        for (other_name, other) in &outputs[at + 1..] {
            check.require(
                !output.overlaps(other),
                &[name, other_name],
                format!("`{output}` and `{other}` overlap, so readers could not tell them apart"),
            );
        }
    }
    Subjects {
        inputs,
        publish,
        forming,
        dead_letter: dead_letter.as_str().to_owned(),
    }
}

fn patterns(list: &str) -> Result<Vec<SubjectPattern>, String> {
    let mut patterns: Vec<SubjectPattern> = Vec::new();
    for text in list.split(',') {
        let pattern: SubjectPattern = text.trim().parse().map_err(|error| format!("{error}"))?;
        if let Some(other) = patterns.iter().find(|other| other.overlaps(&pattern)) {
            return Err(format!(
                "`{other}` and `{pattern}` overlap: a bar on both would come twice"
            ));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}
