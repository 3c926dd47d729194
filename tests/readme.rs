//! What the README shows is what the program does: its signal is what `replay` prints, its table
//! of variables is that of the code. `UPDATE_DOCS=1 cargo test --test readme` writes both anew.

use std::fs;
use std::path::Path;
use std::process::Command;

use technical_analysis_agent::config;

/// The README as it is, and as it ought to be with `block` between the markers of `name`.
fn with_block(name: &str, block: &str) -> (String, String) {
    let text = fs::read_to_string(readme()).unwrap();
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let from = text.find(&begin).expect("the marker that begins it") + begin.len();
    let to = text.find(&end).expect("the marker that ends it");
    let ought = format!("{}{}{}", &text[..from], block, &text[to..]);
    (text, ought)
}

fn readme() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
}

/// What `replay` prints for the newest bar of `file`.
fn newest_signal(file: &str) -> String {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .arg("replay")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
        // neither variables nor a .env of whoever runs the test
        .env_clear()
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let signals = String::from_utf8(output.stdout).unwrap();
    signals.lines().last().expect("a signal").to_owned()
}

/// Breaks one line of JSON between fields, for a page of 100 columns; not a byte is changed.
fn wrapped(line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for field in line.split_inclusive(',') {
        if column + field.len() > 100 {
            text.push_str("\n ");
            column = 1;
        }
        text.push_str(field);
        column += field.len();
    }
    text
}

// one test: both write the same file
#[test]
fn the_readme_shows_what_the_program_does() {
    let signal = format!(
        "```json\n{}\n```\n",
        wrapped(&newest_signal("tests/data/bars/aapl_1d.csv"))
    );
    let table = config::markdown_table();
    for (name, block) in [("signal", signal), ("config", table)] {
        let (is, ought) = with_block(name, &block);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(readme(), ought).unwrap();
        } else {
            assert!(
                is == ought,
                "the {name} in README.md is out of date: UPDATE_DOCS=1 cargo test --test readme"
            );
        }
    }
}
