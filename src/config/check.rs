//! Values that were read, and the rules among them: everything that is wrong is noted down.

use std::collections::BTreeSet;

use super::keys::{Entry, Fallback, Key, Variable};
use super::settings::Settings;
use super::source::Source;
use super::violation::{Given, Violation};

/// Collects what is wrong.
pub(super) struct Check<'a> {
    settings: &'a Settings,
    bad: BTreeSet<&'static str>,
    pub violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            bad: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// The value of a variable that has a default. Where its text is refused, the default stands in,
    /// so that all the others can still be checked.
    pub fn read<V: Variable>(&mut self, entry: &Entry<V>) -> V::Value {
        let Fallback::Text(default) = V::KEY.fallback else {
            unreachable!("{} has a default text", V::KEY.name)
        };
        self.read_optional(entry).unwrap_or_else(|| {
            V::read(default).unwrap_or_else(|reason| {
                unreachable!("the default of {} is valid, but {reason}", V::KEY.name)
            })
        })
    }

    /// The value of a variable that may be missing.
    pub fn read_optional<V: Variable>(&mut self, entry: &Entry<V>) -> Option<V::Value> {
        match entry.0.as_ref()? {
            Ok(value) => Some(value.clone()),
            Err(reason) => {
                self.refuse::<V>(reason.clone());
                None
            }
        }
    }

    /// Returns whether a variable is set, rather than left to its default.
    pub fn is_set(&self, key: &'static Key) -> bool {
        self.settings.given(key).source != Source::Default
    }

    /// A rule about the values of `keys`, which says nothing when one of them is refused already.
    pub fn require(&mut self, holds: bool, keys: &[&'static Key], reason: impl Into<String>) {
        let refused = keys.iter().any(|key| self.bad.contains(key.name));
        self.require_set(holds || refused, keys, reason);
    }

    /// A rule about which of `keys` are set, whatever their values.
    pub fn require_set(&mut self, holds: bool, keys: &[&'static Key], reason: impl Into<String>) {
        if !holds {
            self.note(keys, reason.into());
        }
    }

    /// Refuses the value of a variable.
    pub fn refuse<V: Variable>(&mut self, reason: String) {
        self.bad.insert(V::KEY.name);
        self.note(&[V::KEY], reason);
    }

    fn note(&mut self, keys: &[&'static Key], reason: String) {
        let given: Vec<Given> = keys.iter().map(|key| self.settings.given(key)).collect();
        self.violations.push(Violation::Keys { given, reason });
    }
}
