//! `docs/inputs.md`: its table of dialects is generated and kept equal by this test. Run with
//! `UPDATE_DOCS=1` to write it.

use technical_analysis_agent::wire::dialects::markdown_table;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/inputs.md");
const BEGIN: &str = "<!-- dialects: begin -->\n";
const END: &str = "<!-- dialects: end -->";

#[test]
fn the_table_of_dialects_is_current() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let expected = format!("{before}{BEGIN}{}{END}{after}", markdown_table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &expected).unwrap();
        return;
    }
    assert_eq!(
        page, expected,
        "the table of dialects in docs/inputs.md is out of date: UPDATE_DOCS=1 cargo test --test dialects"
    );
}
