//! The one list of variables: `--help`, `.env.example`, the README's table, the output of
//! `config` and the check for unknown keys are all made from it.

mod list;

pub use list::SECTIONS;

/// The value of a variable that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This text, read like any other value.
    Text(&'static str),
    /// Worked out from other values, in the way described.
    Derived(&'static str),
    /// Nothing.
    None,
}

/// One variable.
#[derive(Debug)]
pub struct Key {
    /// Its name in the environment and in `.env`.
    pub name: &'static str,
    /// What holds without it.
    pub fallback: Fallback,
    /// What it is for, in a line.
    pub meaning: &'static str,
    /// A valid value.
    pub example: &'static str,
    /// True if its value must be masked.
    pub secret: bool,
    /// True if it may be read from the file named in `<name>_FILE`: secrets, and what may hold one.
    pub from_file: bool,
}

/// Variables that belong together.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Its variables.
    pub keys: &'static [Key],
}

impl Key {
    /// The default as it is shown to people; `–` for none.
    #[must_use]
    pub const fn default_text(&self) -> &'static str {
        match self.fallback {
            Fallback::Text(text) | Fallback::Derived(text) => text,
            Fallback::None => "–",
        }
    }

    /// Returns whether `name` is its name, or that of the variable for its file.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let base = if self.from_file {
            name.strip_suffix("_FILE")
        } else {
            None
        };
        self.name == name || base == Some(self.name)
    }

    /// The variable that names a file to read this one from, if it may come from one.
    #[must_use]
    pub fn file_variable(&self) -> Option<String> {
        self.from_file.then(|| format!("{}_FILE", self.name))
    }
}

/// Every variable there is, in the order they are listed.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The variable called `name` in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name.eq_ignore_ascii_case(name))
}

const fn set(
    name: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        fallback: Fallback::Text(default),
        meaning,
        example,
        secret: false,
        from_file: false,
    }
}

/// The same variable, which may also be read from a file.
const fn or_file(key: Key) -> Key {
    Key {
        from_file: true,
        ..key
    }
}

const fn unset(name: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        fallback: Fallback::None,
        meaning,
        example,
        secret: false,
        from_file: false,
    }
}

const fn secret(name: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key {
        secret: true,
        from_file: true,
        ..unset(name, example, meaning)
    }
}

const fn derived(
    name: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        fallback: Fallback::Derived(default),
        ..unset(name, example, meaning)
    }
}
