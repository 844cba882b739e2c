//! postconf(5) says of each parameter what the table says. `TIDY_WRITE=1` writes the page anew.
#![allow(clippy::unwrap_used)] // a test that cannot set itself up fails

use host_config::param::{Kind, Row, TABLE};
use std::fmt::Write as _;
use std::path::Path;

const START: &str = ".SH PARAMETERS\n";
const END: &str = ".SH FILES\n";

/// Text as roff wants it.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn default(row: &Row) -> String {
    match (row.name, row.default) {
        ("myhostname" | "mydomain" | "mynetworks" | "process_id" | "process_name", _) => {
            "of this host".to_owned()
        }
        (_, "") => "empty".to_owned(),
        (_, text) => roff(text),
    }
}

fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Str => "text",
        Kind::Raw => "text that is not expanded",
        Kind::Int | Kind::Long => "number",
        Kind::Time => "time",
        Kind::Bool => "yes or no",
    }
}

/// The part of the page that comes from the table.
fn parameters() -> String {
    let mut text = String::new();
    for row in TABLE {
        let readers = match row.programs {
            "" => String::new(),
            "all" => " Read by all programs.".to_owned(),
            programs if programs.split(',').any(|one| one == "all") => " Read by all programs.".to_owned(),
            programs => format!(" Read by {}.", programs.replace(',', ", ")),
        };
        let since = if row.since.is_empty() { String::new() } else { format!(" Since {}.", row.since) };
        let _ = write!(
            text,
            ".TP\n\\fB{}\\fR ({}; default: {})\n{}{}{}\n",
            roff(row.name),
            kind(row),
            default(row),
            roff(row.doc),
            roff(&readers),
            since
        );
    }
    text
}

#[test]
fn the_manual_page_of_parameters_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../man/man5/postconf.5");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(START).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let fresh = format!("{head}{START}{}{END}{tail}", parameters());
    if std::env::var_os("TIDY_WRITE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    assert!(
        page == fresh,
        "man/man5/postconf.5 is not what the table of parameters says: run this with TIDY_WRITE=1"
    );
}

#[test]
fn each_parameter_is_explained_in_one_line() {
    for row in TABLE {
        assert!(row.doc.ends_with('.') && !row.doc.contains('\n'), "{}: {:?}", row.name, row.doc);
        assert!((12..=160).contains(&row.doc.len()), "{}: {:?}", row.name, row.doc);
    }
}
