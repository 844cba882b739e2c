//! The rules of the tree (`ARCHITECTURE.md`): what may import what, where `unsafe` may stand, how long things may be.
#![allow(clippy::unwrap_used)] // a test that cannot set itself up fails

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up; a crate may depend on crates of its own layer's list only.
const LAYERS: &[(&str, &[&str])] = &[
    ("os", &["os"]),
    ("mail", &["mail"]),
    ("proto", &["mail", "os", "proto"]),
    ("engine", &["mail"]),
    ("host", &["os", "mail", "proto", "engine", "host"]),
    ("daemon", &["os", "mail", "proto", "engine", "host"]),
    ("command", &["os", "mail", "proto", "engine", "host"]),
    ("bin", &["daemon", "command"]),
];

/// The one host crate that may see the engines: it builds an address rewriter from the configuration.
const HOST_CRATE_OVER_ENGINES: &str = "host-resolve";
/// Commands that are the same program under another name.
const COMMANDS_ON_COMMANDS: &[(&str, &str)] =
    &[("command-sendmail", "command-postalias"), ("command-postalias", "command-postmap")];
/// Longest source file, in lines, but for tables of data.
const FILE_LINES: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn walk(directory: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, wanted, found);
        } else if wanted(&path) {
            found.push(path);
        }
    }
}

fn files(below: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root().join(below), &|path| path.extension().is_some_and(|e| e == extension), &mut found);
    found.sort();
    found
}

/// (package name, workspace dependencies) of each crate.
fn packages() -> Vec<(String, Vec<String>)> {
    let manifests = files("crates", "toml");
    manifests
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let name = text
                .lines()
                .find_map(|l| l.strip_prefix("name = \""))
                .unwrap()
                .trim_end_matches('"')
                .to_owned();
            let mut section = "";
            let mut dependencies = Vec::new();
            for line in text.lines() {
                if line.starts_with('[') {
                    section = line;
                } else if section == "[dependencies]"
                    && let Some((dependency, _)) = line.split_once(['.', ' ', '='])
                {
                    dependencies.push(dependency.to_owned());
                }
            }
            (name, dependencies)
        })
        .collect()
}

fn layer(package: &str) -> Option<&str> {
    let layer = package.split('-').next()?;
    LAYERS.iter().any(|(name, _)| *name == layer).then_some(layer)
}

#[test]
fn imports_only_go_down() {
    let mut wrong = Vec::new();
    for (package, dependencies) in packages() {
        let own = layer(&package).unwrap_or_else(|| panic!("{package} belongs to no layer"));
        let allowed = LAYERS.iter().find(|(name, _)| *name == own).unwrap().1;
        for dependency in dependencies {
            let Some(other) = layer(&dependency) else { continue };
            let engine_from_host = own == "host" && other == "engine" && package != HOST_CRATE_OVER_ENGINES;
            let same_program = COMMANDS_ON_COMMANDS.contains(&(package.as_str(), dependency.as_str()));
            if (!allowed.contains(&other) && !same_program) || engine_from_host {
                wrong.push(format!("{package} -> {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that go up or sideways: {wrong:?}");
}

#[test]
fn programs_that_run_as_root_carry_no_codecs() {
    let packages = packages();
    let of = |name: &str| {
        packages.iter().find(|(package, _)| package == name).map(|(_, d)| d.clone()).unwrap_or_default()
    };
    let mut seen = Vec::new();
    let mut todo: Vec<String> = of("bin-root").into_iter().chain(of("bin-setgid")).collect();
    while let Some(name) = todo.pop() {
        if !seen.contains(&name) {
            todo.extend(of(&name));
            seen.push(name);
        }
    }
    for forbidden in ["rustls", "hickory-proto", "rusqlite", "mysql", "postgres", "ldap3", "pcre2"] {
        assert!(!seen.iter().any(|name| name == forbidden), "{forbidden} in a privileged program");
    }
}

#[test]
fn unsafe_stands_in_os_sys_only() {
    for path in files("crates", "rs") {
        if path.starts_with(root().join("crates/os/sys")) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let hit = ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word));
            assert!(!hit, "{}:{}: unsafe", path.display(), number + 1);
        }
    }
}

#[test]
fn mail_and_proto_deny_indexing() {
    for layer in ["mail", "proto"] {
        for entry in fs::read_dir(root().join("crates").join(layer)).unwrap() {
            let lib = entry.unwrap().path().join("src/lib.rs");
            let text = fs::read_to_string(&lib).unwrap();
            assert!(text.contains("#![deny(clippy::indexing_slicing)]"), "{}", lib.display());
        }
    }
}

#[test]
fn nothing_is_left_undone_in_code() {
    let words =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("// TO", "DO")];
    for path in files("crates", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            assert!(
                !words.iter().any(|word| line.contains(word)),
                "{}:{}: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn files_are_short() {
    for path in files("crates", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let data = text.lines().take(5).any(|line| line.contains("table of data"));
        let lines = text.lines().count();
        assert!(data || lines <= FILE_LINES, "{}: {lines} lines", path.display());
    }
}

#[test]
fn only_the_spool_crate_names_queue_directories_in_paths() {
    let words = ["\"incoming/", "\"active/", "\"deferred/", "\"corrupt/", "\"maildrop/"];
    for path in files("crates", "rs") {
        if path.starts_with(root().join("crates/host/spool")) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        // Log texts may name a queue; paths may not.
        let code: String = code.lines().filter(|line| !line.contains("os_log::")).collect();
        for word in words {
            assert!(!code.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn every_program_is_in_exactly_one_image() {
    let packages = packages();
    let images: Vec<&(String, Vec<String>)> =
        packages.iter().filter(|(name, _)| name.starts_with("bin-")).collect();
    for (name, _) in &packages {
        if name.starts_with("daemon-") || name.starts_with("command-") {
            let count = images.iter().filter(|(_, dependencies)| dependencies.contains(name)).count();
            assert_eq!(count, 1, "{name}");
        }
    }
}

/// The manual page of a program: in section 1 for commands, 8 for daemons.
fn manual(package: &str) -> Option<PathBuf> {
    let (section, name) = match package.split_once('-')? {
        ("command", name) => (1, name),
        ("daemon", name) => (8, name),
        _ => return None,
    };
    Some(root().join(format!("man/man{section}/{name}.{section}")))
}

#[test]
fn every_program_has_a_manual_page() {
    for (package, _) in packages() {
        let Some(page) = manual(&package) else { continue };
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"] {
            assert!(text.contains(&format!(".SH {section}\n")), "{}: no {section}", page.display());
        }
    }
}

/// Words in bold below `.SH PARAMETERS`.
fn documented_parameters(page: &str) -> Vec<String> {
    let section = page.split_once(".SH PARAMETERS\n").map_or("", |(_, rest)| rest);
    let section = section.split("\n.SH ").next().unwrap_or_default();
    let bold = section.split("\\fB").skip(1).filter_map(|rest| rest.split("\\fR").next());
    bold.filter(|word| word.contains('_')).map(str::to_owned).collect()
}

#[test]
fn manual_pages_name_parameters_that_exist() {
    let table: String = files("crates/host/config/src/param", "rs")
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut pages = Vec::new();
    walk(&root().join("man"), &|_| true, &mut pages);
    assert!(!pages.is_empty());
    let mut seen = 0;
    for page in pages {
        for name in documented_parameters(&fs::read_to_string(&page).unwrap()) {
            assert!(table.contains(&format!("\"{name}\"")), "{}: no parameter {name}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} parameters found: has the layout of the pages changed?");
}

#[test]
fn references_between_manual_pages_lead_somewhere() {
    let mut pages = Vec::new();
    walk(&root().join("man"), &|_| true, &mut pages);
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let source = text.strip_prefix(".so ").map(str::trim);
        let also = text.split_once(".SH SEE ALSO\n").map_or("", |(_, rest)| rest);
        let also = also.split(", ").filter_map(|one| one.trim().strip_prefix("\\fB")?.split_once("\\fR("));
        let also = also.map(|(name, section)| {
            let (name, section) = (name.replace("\\-", "-"), section.trim_end_matches(')'));
            format!("man{section}/{name}.{section}")
        });
        for target in also.chain(source.map(str::to_owned)) {
            assert!(root().join("man").join(&target).exists(), "{}: no {target}", page.display());
        }
    }
}
