//! Explanation of an unknown message: the dialects of the closest shape, and the parts that did not
//! fit.

use super::super::tape::Node;
use super::{Dialect, REGISTRY};

/// Dialects that are named.
const NAMED: usize = 2;

/// Keys of the message that are shown where no dialect is near.
const KEYS_SHOWN: usize = 8;

/// Characters of a value that are shown.
const VALUE_SHOWN: usize = 32;

/// The value at a path such as `data.interval_begin`; the first element of an array stands for all.
fn find<'t, 'a>(message: Node<'t, 'a>, path: &str) -> Option<Node<'t, 'a>> {
    path.split('.').try_fold(message, |node, key| {
        let node = if node.is_array() { node.at(0)? } else { node };
        node.get(key)
    })
}

/// The number of keys of the dialect's shape in a message, and the first thing that does not fit.
fn fit(dialect: &Dialect, message: Node<'_, '_>) -> (usize, Option<String>) {
    let (mut fitting, mut misfit) = (0, None);
    for (path, wanted) in dialect.shape {
        let found = find(message, path);
        let fits = found.is_some_and(|node| {
            let text = node.str();
            match wanted.strip_suffix('*') {
                Some(beginning) => text.is_some_and(|text| text.starts_with(beginning)),
                None => wanted.is_empty() || text == Some(wanted),
            }
        });
        if fits {
            fitting += 1;
            continue;
        }
        misfit.get_or_insert_with(|| match found {
            None => format!("`{path}` is missing"),
            Some(node) => {
                let shown: String = node.text().chars().take(VALUE_SHOWN).collect();
                format!("`{path}` is {shown}, not \"{wanted}\"")
            }
        });
    }
    (fitting, misfit)
}

/// Says why no dialect (or, where `only` is given, not this one) knows the message.
pub(in crate::wire) fn unknown(message: Node<'_, '_>, only: Option<&Dialect>) -> String {
    if let Some(dialect) = only {
        let misfit = fit(dialect, message).1;
        let misfit = misfit.unwrap_or_else(|| "its values are of other types".to_owned());
        return format!(
            "this is no message of {}, which TECHNICAL_DIALECT asks for: {misfit}",
            dialect.name
        );
    }
    let mut near: Vec<(usize, &str, Option<String>)> = REGISTRY
        .iter()
        .map(|dialect| {
            let (fitting, misfit) = fit(dialect, message);
            (fitting, dialect.name, misfit)
        })
        .filter(|(fitting, ..)| *fitting > 0)
        .collect();
    near.sort_by_key(|(fitting, ..)| std::cmp::Reverse(*fitting));
    near.truncate(NAMED);
    if near.is_empty() {
        let keys: Vec<String> = message
            .items()
            .take(KEYS_SHOWN)
            .map(|item| format!("`{}`", item.key()))
            .collect();
        return format!(
            "no dialect knows a message with {}; send bars in the generic shape, or in one of docs/inputs.md",
            keys.join(", ")
        );
    }
    let near: Vec<String> = near
        .into_iter()
        .map(|(_, name, misfit)| {
            let misfit = misfit.unwrap_or_else(|| "its values are of other types".to_owned());
            format!("{name} ({misfit})")
        })
        .collect();
    format!(
        "no dialect knows this message; closest are: {}",
        near.join(", ")
    )
}
