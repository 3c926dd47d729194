//! The subjects that are read and written, and the rule that nothing written is read again.

use crate::wire::{SubjectPattern, SubjectTemplate};

use super::check::Check;
use super::keys::Variable;
use super::keys::agent::{
    AgentValues, TECHNICAL_DEAD_LETTER_SUBJECT, TECHNICAL_FORMING_SUBJECT,
    TECHNICAL_PUBLISH_SUBJECT, TECHNICAL_SUBJECTS,
};

/// The subjects of trades.
const TRADES: &str = "raw.market_data.trade.{symbol}";

/// The subjects of a configuration.
pub(super) struct Subjects {
    pub inputs: Vec<SubjectPattern>,
    pub publish: SubjectTemplate,
    pub forming: SubjectTemplate,
    pub dead_letter: String,
}

/// The subjects; the default ones include those of trades where bars are built from them.
pub(super) fn read(values: &AgentValues, check: &mut Check<'_>, trades: bool) -> Subjects {
    let mut inputs = check.read(&values.TECHNICAL_SUBJECTS);
    if trades && !check.is_set(TECHNICAL_SUBJECTS::KEY) {
        inputs.push(TRADES.parse().expect("a pattern of subjects"));
    }
    let publish = check.read(&values.TECHNICAL_PUBLISH_SUBJECT);
    let forming = check.read(&values.TECHNICAL_FORMING_SUBJECT);
    let dead_letter = check.read(&values.TECHNICAL_DEAD_LETTER_SUBJECT);

    let outputs = [
        (TECHNICAL_PUBLISH_SUBJECT::KEY, publish.pattern()),
        (TECHNICAL_FORMING_SUBJECT::KEY, forming.pattern()),
        (TECHNICAL_DEAD_LETTER_SUBJECT::KEY, dead_letter.pattern()),
    ];
    for (at, (key, output)) in outputs.iter().enumerate() {
        for input in &inputs {
            check.require(
                !output.overlaps(input),
                &[key, TECHNICAL_SUBJECTS::KEY],
                format!("`{input}` would read back what is written to `{output}`"),
            );
        }
        for (other_key, other) in &outputs[at + 1..] {
            check.require(
                !output.overlaps(other),
                &[key, other_key],
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
