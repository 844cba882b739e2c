//! The command line: options, what they exclude, the error texts (`config.md` §8.1).

use std::path::PathBuf;

use mail_text::getopt::{self, Item};

use crate::Outcome;
use crate::print::Output;

/// What is shown or edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `-p`, the default.
    Main,
    /// `-M`, `-F`, `-P`, `-PP`.
    Master(View),
    /// `-l`.
    LockTypes,
    /// `-m`.
    MapTypes,
    /// `-T mode`.
    TlsInformation,
    /// `-a`.
    ServerSasl,
    /// `-A`.
    ClientSasl,
    /// `-b`.
    ExpandTemplates,
    /// `-t`.
    DumpTemplates,
}

/// What of master.cf is shown or edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// `-M`.
    Entries,
    /// `-F`.
    Fields,
    /// `-P`.
    Parameters,
    /// `-PP`.
    AllParameters,
}

/// `-C`: which names are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classes {
    pub(crate) builtin: bool,
    pub(crate) service: bool,
    pub(crate) user: bool,
}

/// How an edit treats what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// `-e`.
    Set,
    /// `-X`.
    Remove,
    /// `-#`.
    CommentOut,
}

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) edit: Option<Edit>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) classes: Classes,
    pub(crate) overrides: Vec<String>,
    pub(crate) tls_mode: Option<String>,
    pub(crate) defaults: bool,
    pub(crate) non_defaults: bool,
    pub(crate) fold: bool,
    pub(crate) hide_names: bool,
    pub(crate) hide_values: bool,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) expand: bool,
    pub(crate) names: Vec<String>,
}

impl Options {
    pub(crate) fn edits(&self) -> bool {
        self.edit.is_some()
    }
}

const USAGE: &str = "[-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] [-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-H (no values)] [-j (streaming JSON) ] [-l (lock types)] [-m (map types)] [-M (master.cf)] [-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] [-P (master.cf parameters)] [-t (bounce templates)] [-T compile-version|run-version|public-key-algorithms] [-v (verbose)] [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]";

/// The order in which conflicting options are named; `2` stands for `-PP`.
const ORDER: &str = "aAbCdefFhHjlmMnopPtTxX#2";

/// At most one of each group.
const EXCLUSIVE: &[&str] = &["aAblmtpMFPT", "2e#X", "den#X", "fe#X", "xe#X", "ode#X", "he#XH"];

/// Modes, and the modifiers that go with each.
const COMPATIBLE: &[(char, &str)] = &[
    ('p', "eX#fhCdxnoHj"),
    ('M', "eX#foxj"),
    ('F', "efhoxHj"),
    ('2', "fhoxH"),
    ('P', "eXfhoxHj"),
    ('a', ""),
    ('A', ""),
    ('b', ""),
    ('l', ""),
    ('m', ""),
    ('t', ""),
    ('T', ""),
];

pub(crate) fn parse(arguments: &[String], out: &mut Output) -> Outcome<Options> {
    let (items, names) = getopt::parse(arguments, "+aAbc:C:deEfFhHjlmMno:pPqtT:vxX#");
    let mut given = String::new();
    let mut options = Options {
        mode: Mode::Main,
        edit: None,
        directory: None,
        classes: Classes { builtin: true, service: true, user: true },
        overrides: Vec::new(),
        tls_mode: None,
        defaults: false,
        non_defaults: false,
        fold: false,
        hide_names: false,
        hide_values: false,
        json: false,
        quiet: false,
        expand: false,
        names,
    };
    for item in items {
        if let Some(complaint) = item.complaint() {
            out.plain(&complaint);
            return Err(usage(out));
        }
        match item {
            Item::Value(letter, value) => option_with_value(&mut options, letter, value, &mut given)?,
            Item::Flag('E') | Item::Unknown(_) | Item::Missing(_) => return Err(usage(out)),
            Item::Flag('P') if given.contains('P') => given.push('2'),
            Item::Flag('q') => options.quiet = true,
            Item::Flag('v') => {}
            Item::Flag('b') if given.contains('t') => return Err("specify one of -b and -t".to_owned()),
            Item::Flag('t') if given.contains('b') => return Err("specify one of -b and -t".to_owned()),
            Item::Flag(letter) => given.push(letter),
        }
    }
    let shows = |given: &str| !given.contains(['a', 'A', 'b', 'l', 'm', 't', 'T', '2']);
    if shows(&given) && !given.contains('e') && options.names.first().is_some_and(|name| name.contains('=')) {
        given.push('e');
    }
    check(&given)?;
    apply(&mut options, &given)?;
    Ok(options)
}

fn usage(out: &Output) -> String {
    format!("usage: {} {USAGE}", out.program())
}

fn option_with_value(options: &mut Options, letter: char, value: String, given: &mut String) -> Outcome {
    match letter {
        'c' => options.directory = Some(PathBuf::from(value)),
        'C' => {
            options.classes = classes(&value)?;
            given.push('C');
        }
        'o' => {
            options.overrides.push(value);
            given.push('o');
        }
        _ => {
            if options.tls_mode.is_some() {
                return Err("At most one -T <mode> option may be specified".to_owned());
            }
            options.tls_mode = Some(value);
            given.push('T');
        }
    }
    Ok(())
}

fn classes(value: &str) -> Outcome<Classes> {
    let mut classes = Classes { builtin: false, service: false, user: false };
    for word in mail_text::list::words(value) {
        match word.to_ascii_lowercase().as_str() {
            "builtin" => classes.builtin = true,
            "service" => classes.service = true,
            "user" => classes.user = true,
            "all" => classes = Classes { builtin: true, service: true, user: true },
            _ => return Err(format!("unknown -C option value \"{word}\" in \"{value}\"")),
        }
    }
    Ok(classes)
}

fn named(letter: char) -> String {
    if letter == '2' { "-PP".to_owned() } else { format!("-{letter}") }
}

fn check(given: &str) -> Outcome {
    for group in EXCLUSIVE {
        let found: Vec<String> =
            ORDER.chars().filter(|c| group.contains(*c) && given.contains(*c)).map(named).collect();
        if found.len() > 1 {
            return Err(format!("specify one of {}", found.join(", ")));
        }
    }
    let mode =
        COMPATIBLE.iter().find(|(mode, _)| given.contains(*mode) && (*mode != 'P' || !given.contains('2')));
    let (mode, modifiers) = mode.copied().unwrap_or(('p', "eX#fhCdxnoHj"));
    let others = |allowed: &str, own: char| -> Vec<String> {
        ORDER
            .chars()
            .filter(|c| given.contains(*c) && *c != own && !allowed.contains(*c) && *c != 'C')
            .filter(|c| !(mode == '2' && *c == 'P'))
            .map(named)
            .collect()
    };
    let wrong = others(modifiers, mode);
    if !wrong.is_empty() {
        return Err(format!("with option {}, do not specify {}", named(mode), wrong.join(" ")));
    }
    if given.contains('j') {
        let wrong = others("pMFPoxnd", 'j');
        if !wrong.is_empty() {
            return Err(format!("with option -j, do not specify {}", wrong.join(" ")));
        }
    }
    Ok(())
}

fn apply(options: &mut Options, given: &str) -> Outcome {
    let has = |letter: char| given.contains(letter);
    options.defaults = has('d');
    options.non_defaults = has('n');
    options.fold = has('f');
    options.hide_names = has('h');
    options.hide_values = has('H');
    options.json = has('j');
    options.expand = has('x');
    options.mode = match () {
        () if has('2') => Mode::Master(View::AllParameters),
        () if has('P') => Mode::Master(View::Parameters),
        () if has('M') => Mode::Master(View::Entries),
        () if has('F') => Mode::Master(View::Fields),
        () if has('l') => Mode::LockTypes,
        () if has('m') => Mode::MapTypes,
        () if has('T') => Mode::TlsInformation,
        () if has('a') => Mode::ServerSasl,
        () if has('A') => Mode::ClientSasl,
        () if has('b') => Mode::ExpandTemplates,
        () if has('t') => Mode::DumpTemplates,
        () => Mode::Main,
    };
    options.edit = match () {
        () if has('e') => Some(Edit::Set),
        () if has('X') => Some(Edit::Remove),
        () if has('#') => Some(Edit::CommentOut),
        () => None,
    };
    match options.edit {
        Some(Edit::Set) if options.names.is_empty() => Err("-e requires name=value argument".to_owned()),
        Some(Edit::Remove | Edit::CommentOut) if options.names.is_empty() => {
            Err("missing service argument".to_owned())
        }
        Some(Edit::Set | Edit::Remove | Edit::CommentOut) | None => Ok(()),
    }
}
