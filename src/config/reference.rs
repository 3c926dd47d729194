//! The list of variables as text: for `.env.example`, the README and `--help`.

use std::fmt::Write as _;

use super::keys::{Fallback, SECTIONS, all};

/// The text of `.env.example`: every variable with its default, commented out.
#[must_use]
pub fn env_example() -> String {
    let mut text = String::from(
        "# Every variable of the agent with its default. Copy to .env and uncomment what differs.\n\
         # The process environment comes first, then .env, then these defaults; an empty value\n\
         # is as if unset. In .env a $ is a $: nothing is substituted. A secret X, and NATS_URL, may\n\
         # instead be read from the file named in X_FILE.\n",
    );
    for section in SECTIONS {
        let _ = write!(text, "\n## {}\n", section.title);
        for key in section.keys {
            let _ = write!(text, "\n# {}\n", key.meaning);
            let _ = match key.fallback {
                Fallback::Text(default) => writeln!(text, "#{}={default}", key.name),
                Fallback::Derived(default) => writeln!(
                    text,
                    "# Default: {default}; for example {}\n#{}=",
                    key.example, key.name
                ),
                Fallback::None => writeln!(
                    text,
                    "# Not set; for example {}\n#{}=",
                    key.example, key.name
                ),
            };
        }
    }
    text
}

/// The README's configuration table.
#[must_use]
pub fn markdown_table() -> String {
    let mut text = String::from("| variable | default | meaning |\n|---|---|---|\n");
    for key in all() {
        let default = match key.fallback {
            Fallback::Text(text) => format!("`{text}`"),
            Fallback::Derived(text) if text.starts_with('–') => text.to_owned(),
            Fallback::Derived(text) => format!("`{text}`"),
            Fallback::None => "–".to_owned(),
        };
        let file = key
            .file_variable()
            .map(|name| format!(" (or `{name}`)"))
            .unwrap_or_default();
        let meaning = key.meaning;
        let _ = writeln!(text, "| `{}`{file} | {default} | {meaning} |", key.name);
    }
    text
}

/// The list of variables for `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let _ = writeln!(text, "{}:", section.title);
        for key in section.keys {
            let file = key
                .file_variable()
                .map(|name| format!(", or a file named by {name}"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "  {} [default: {}]\n          {}{file}",
                key.name,
                key.default_text(),
                key.meaning
            );
        }
        text.push('\n');
    }
    text
}
