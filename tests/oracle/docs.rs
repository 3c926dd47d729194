//! `docs/indicators.md`: its tables are generated here and kept equal by a test. Run with
//! `UPDATE_DOCS=1` to rewrite them.

use std::fmt::Write as _;
use std::fs;

use technical_analysis_agent::indicators::{Entry, catalogue};

use crate::columns::LOOSER;
use crate::outcomes;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/indicators.md");

fn joined(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    if cells.is_empty() {
        "–".to_owned()
    } else {
        cells.join(", ")
    }
}

fn catalogue_table() -> String {
    let mut text = String::from(
        "| indicator | parameters: default (range) | outputs | first bar | converged after | convention | equals |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for entry in catalogue() {
        let Entry {
            name,
            convention,
            source,
            ..
        } = entry;
        let params = joined(entry.params.iter().map(|p| {
            format!(
                "{} {} ({}–{})",
                p.name,
                p.text(p.default),
                p.text(p.min),
                p.text(p.max)
            )
        }));
        let outputs = joined(entry.outputs.iter().map(|&o| o.to_owned()));
        let first = entry.warmup(&entry.defaults());
        let converged = entry
            .converges(&entry.defaults())
            .map_or_else(|| "never".to_owned(), |bars| bars.to_string());
        writeln!(
            text,
            "| `{name}` | {params} | {outputs} | {first} | {converged} | {convention} | {source} |"
        )
        .unwrap();
    }
    text
}

/// The power of ten that an error stays below: the same on every machine.
fn bound(error: f64) -> String {
    if error == 0.0 {
        return "0".to_owned();
    }
    format!("1e{}", error.log10().ceil())
}

fn oracle_tables() -> String {
    let mut text = String::new();
    for (set, outcomes) in outcomes(&crate::data::kept()) {
        writeln!(text, "### {set}\n").unwrap();
        text.push_str("| column | indicator | values | worst error below |\n|---|---|---|---|\n");
        for o in outcomes {
            writeln!(
                text,
                "| `{}` | `{}` | {} | {} |",
                o.column,
                o.item,
                o.rows,
                bound(o.worst)
            )
            .unwrap();
        }
        text.push('\n');
    }
    text
}

fn looser_list() -> String {
    let mut text = String::new();
    for (column, tolerance, reason) in LOOSER {
        writeln!(text, "- `{column}`, met to {tolerance:e} only: {reason}.").unwrap();
    }
    text
}

/// Puts `body` between the markers called `name`.
fn replaced(page: &str, name: &str, body: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end {name} -->"));
    let (head, rest) = page.split_once(&begin).unwrap();
    let (_, tail) = rest.split_once(&end).unwrap();
    format!(
        "{head}{begin}\n{}\n{end}{tail}",
        body.trim_end().to_owned() + "\n"
    )
}

#[test]
fn the_tables_of_the_page_are_what_the_code_says() {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut expected = replaced(&page, "catalogue", &catalogue_table());
    expected = replaced(&expected, "oracle", &oracle_tables());
    expected = replaced(&expected, "looser", &looser_list());
    expected = replaced(&expected, "still", &crate::odd::still_table());
    expected = replaced(&expected, "none here", &crate::odd::none_here_list());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PAGE, &expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "docs/indicators.md is not what the code says; run the test with UPDATE_DOCS=1"
    );
}
