//! master.cf display: `-M`, `-F`, `-P`, `-PP` (`config.md` §8.4). `-x` expands `-o` values only: other arguments may
//! hold macros of the program (`pipe(8)`).

use std::path::Path;

use host_config::Config;
use host_config::master_cf::{FIELDS, Line, ServiceType, lines};
use mail_text::{list, logical};

use crate::names::{self, Names};
use crate::options::{Options, View};
use crate::print::{self, Output};
use crate::{Outcome, expand, load, warnings};

/// Where columns would like to start.
const COLUMNS: [usize; FIELDS] = [0, 11, 17, 25, 33, 41, 49, 57];

/// Field names of `-F`.
pub(crate) const FIELD_NAMES: [&str; FIELDS] =
    ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"];

pub(crate) fn run(options: &Options, view: View, dir: &Path, out: &mut Output) -> Outcome {
    let path = dir.join("master.cf");
    let lines = lines(&path).map_err(|e| e.to_string())?;
    let config = load(options, dir)?;
    let names = Names::collect(&config, &lines, dir)?;
    warnings::undefined(&config, dir, &names, options.quiet, out)?;
    let patterns =
        options.names.iter().map(|text| Pattern::parse(view, text)).collect::<Outcome<Vec<_>>>()?;
    let mut matched = vec![false; patterns.len()];
    let entries = lines.iter().map(|line| Shown::of(line, &path)).collect::<Outcome<Vec<_>>>()?;
    for (pattern, matched) in patterns.iter().zip(&mut matched) {
        *matched = entries.iter().any(|entry| pattern.selects(entry));
    }
    for (text, _) in options.names.iter().zip(&matched).filter(|(_, matched)| !**matched) {
        out.warning(&format!("unmatched request: \"{text}\""));
    }
    let everything = [Pattern::everything()];
    let patterns = if patterns.is_empty() { &everything } else { patterns.as_slice() };
    for entry in &entries {
        for pattern in patterns.iter().filter(|pattern| pattern.selects(entry)) {
            entry.show(options, view, pattern, &config, &names, out)?;
        }
    }
    if !options.quiet {
        warnings::unused_in_master(dir, &names, out);
    }
    Ok(())
}

/// `name/type/third`, each part possibly absent or `*`.
struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    fn everything() -> Self {
        Self { parts: Vec::new() }
    }

    fn parse(view: View, text: &str) -> Outcome<Self> {
        let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        let (limit, syntax) = match view {
            View::Fields => (3, "-F option requires service_name[/type[/field]]"),
            View::Parameters | View::AllParameters => {
                (3, "-P option requires service_name[/type[/parameter]]")
            }
            View::Entries => (2, "-M option requires service_name[/type]"),
        };
        if parts.len() > limit {
            return Err(syntax.to_owned());
        }
        if let (View::Fields, Some(field)) = (view, parts.get(2))
            && field != "*"
            && !FIELD_NAMES.contains(&field.as_str())
        {
            return Err(format!("invalid service attribute name: \"{field}\""));
        }
        Ok(Self { parts })
    }

    fn part_matches(&self, index: usize, text: &str) -> bool {
        self.parts.get(index).is_none_or(|part| part == "*" || part == text)
    }

    fn selects(&self, entry: &Shown) -> bool {
        self.part_matches(0, entry.field(0)) && self.part_matches(1, entry.field(1))
    }
}

/// A checked entry, arguments in their normal form.
pub(crate) struct Shown {
    /// The eight fields.
    pub(crate) fields: Vec<String>,
    /// Arguments; an option and its value are one element.
    pub(crate) arguments: Vec<Argument>,
}

/// One argument in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// `-o name=value`.
    Override(String, String),
    /// `-o` with a text that is no setting.
    Malformed(String),
    /// Another option.
    Flag(String),
    /// Anything after the options.
    Word(String),
}

impl Shown {
    pub(crate) fn of(line: &Line, path: &Path) -> Outcome<Self> {
        let words = &line.words;
        if words.len() < FIELDS {
            return Err(format!("file {}: {}: bad field count", path.display(), line.source.range()));
        }
        let fields: Vec<String> = words.iter().take(FIELDS).cloned().collect();
        check_fields(&fields, &line.source.text)?;
        Ok(Self { fields, arguments: arguments(words) })
    }

    pub(crate) fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", String::as_str)
    }

    /// `-o` settings, the last of a name wins, sorted.
    fn settings(&self) -> std::collections::BTreeMap<&str, &str> {
        let pairs = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Override(name, _) if names::is_read_only(name) => None,
            Argument::Override(name, value) => Some((name.as_str(), value.as_str())),
            Argument::Malformed(_) | Argument::Flag(_) | Argument::Word(_) => None,
        });
        pairs.collect()
    }

    fn show(
        &self,
        options: &Options,
        view: View,
        pattern: &Pattern,
        config: &Config,
        names: &Names,
        out: &mut Output,
    ) -> Outcome {
        let scope = self.scope(config);
        let of = |value: &str| if options.expand { expand(&scope, value) } else { Ok(value.to_owned()) };
        let prefix = format!("{}/{}", self.field(0), self.field(1));
        match view {
            View::Fields => {
                for (index, name) in
                    FIELD_NAMES.iter().enumerate().filter(|(_, name)| pattern.part_matches(2, name))
                {
                    let name = format!("{prefix}/{name}");
                    if options.json || options.hide_values {
                        let all = index + 1 == FIELDS;
                        let value = if all { self.command_line(&of)? } else { self.field(index).to_owned() };
                        out.setting(options, &name, &value);
                    } else {
                        let name = if options.hide_names { String::new() } else { format!("{name} = ") };
                        out.line(&self.field_line(name, index, options.fold, &of)?);
                    }
                }
            }
            View::Parameters => {
                for (name, value) in
                    self.settings().into_iter().filter(|(name, _)| pattern.part_matches(2, name))
                {
                    out.setting(options, &format!("{prefix}/{name}"), &of(value)?);
                }
            }
            View::AllParameters => {
                for name in names.listed(options.classes).filter(|name| pattern.part_matches(2, name)) {
                    let value =
                        scope.text(name).map_err(|e| e.to_string())?.map(std::borrow::Cow::into_owned);
                    let value = value.or_else(|| names.service_default(name).map(|base| format!("${base}")));
                    out.setting(options, &format!("{prefix}/{name}"), &of(&value.unwrap_or_default())?);
                }
            }
            View::Entries => {
                if options.json {
                    let fields = self.fields.iter().take(FIELDS - 1).map(String::as_str);
                    let text = fields.collect::<Vec<_>>().join(" ");
                    out.line(&print::json_line(&prefix, &format!("{text} {}", self.command_line(&of)?)));
                } else {
                    out.line(&self.entry(options.fold, &of)?);
                }
            }
        }
        Ok(())
    }

    /// The configuration as this service sees it.
    fn scope(&self, config: &Config) -> Config {
        let mut scope = config.clone();
        for (name, value) in self.settings() {
            scope.set(name, value);
        }
        scope.set_process_name(self.field(FIELDS - 1).rsplit('/').next().unwrap_or_default());
        scope.set("service_name", self.field(0));
        scope
    }

    fn command_line(&self, of: &dyn Fn(&str) -> Outcome<String>) -> Outcome<String> {
        let mut text = self.field(FIELDS - 1).to_owned();
        for argument in &self.arguments {
            text.push(' ');
            text.push_str(&argument.text(of)?);
        }
        Ok(text)
    }

    /// The line of `-M` and, folded, of `-Mf`.
    pub(crate) fn entry(&self, fold: bool, of: &dyn Fn(&str) -> Outcome<String>) -> Outcome<String> {
        let mut text = String::new();
        for (field, column) in self.fields.iter().zip(COLUMNS) {
            if column > 0 {
                text.push(' ');
            }
            while text.len() < column {
                text.push(' ');
            }
            text.push_str(field);
        }
        self.with_arguments(text, fold, of)
    }

    /// A line of `-F`. A name and a field that are too long together stand on two lines, folded or not.
    fn field_line(
        &self,
        name: String,
        index: usize,
        fold: bool,
        of: &dyn Fn(&str) -> Outcome<String>,
    ) -> Outcome<String> {
        let field = self.field(index);
        let fits = name.is_empty() || name.len() + field.len() <= print::WIDTH;
        let text = if fits { name + field } else { format!("{name}\n    {field}") };
        if index + 1 < FIELDS { Ok(text) } else { self.with_arguments(text, fold, of) }
    }

    /// A text that ends with the command, and the arguments behind it.
    fn with_arguments(
        &self,
        mut text: String,
        fold: bool,
        of: &dyn Fn(&str) -> Outcome<String>,
    ) -> Outcome<String> {
        let mut column = text.rsplit('\n').next().map_or(0, str::len);
        let mut after_override = false;
        for argument in &self.arguments {
            let word = argument.text(of)?;
            let is_override = matches!(argument, Argument::Override(..) | Argument::Malformed(_));
            if !fold {
                text.push(' ');
                text.push_str(&word);
            } else if is_override || after_override {
                text.push_str("\n    ");
                text.push_str(&word);
                column = 4 + word.len();
            } else {
                print::append_folded(&mut text, &mut column, &word, print::ENTRY_WIDTH);
            }
            after_override = is_override;
        }
        Ok(text)
    }
}

impl Argument {
    fn text(&self, of: &dyn Fn(&str) -> Outcome<String>) -> Outcome<String> {
        Ok(match self {
            Self::Override(name, value) => {
                let value = of(value)?;
                let group = value.contains(|c: char| c.is_ascii_whitespace());
                if group { format!("-o {{{name}={value}}}") } else { format!("-o {name}={value}") }
            }
            Self::Malformed(text) => format!("-o {}", grouped(text)),
            Self::Flag(text) => text.clone(),
            Self::Word(text) => grouped(text),
        })
    }
}

/// A word that stays one word.
fn grouped(text: &str) -> String {
    let group = text.is_empty() || text.contains(|c: char| c.is_ascii_whitespace());
    if group { format!("{{{text}}}") } else { text.to_owned() }
}

fn check_fields(fields: &[String], line: &str) -> Outcome {
    fields.iter().enumerate().try_for_each(|(index, field)| check_field(index, field, line))
}

/// Whether a field may have this value; `line` is for the message.
pub(crate) fn check_field(index: usize, value: &str, line: &str) -> Outcome {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let good = match index {
        1 => ServiceType::parse(value).is_some(),
        2..=4 => matches!(value, "y" | "n" | "-"),
        5 => value == "-" || digits(value.strip_suffix('?').unwrap_or(value)),
        6 => value == "-" || digits(value),
        _ => true,
    };
    if good {
        return Ok(());
    }
    let name = FIELD_NAMES.get(index).copied().unwrap_or_default();
    Err(format!("invalid {name} field \"{value}\" in \"{line}\""))
}

/// The words after the command, in normal form. Options end at the first other word or `--`.
pub(crate) fn arguments(words: &[String]) -> Vec<Argument> {
    let mut found = Vec::new();
    let mut rest = words.iter().skip(FIELDS);
    while let Some(word) = rest.next().map(|word| ungrouped(word)) {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-")
        else {
            found.push(Argument::Word(word));
            break;
        };
        match letters.split_once('o') {
            None => found.push(Argument::Flag(word)),
            Some((before, attached)) => {
                if !before.is_empty() {
                    found.push(Argument::Flag(format!("-{before}")));
                }
                let raw = if attached.is_empty() { rest.next().map(String::as_str) } else { Some(attached) };
                found.push(raw.map_or_else(|| Argument::Flag("-o".to_owned()), setting));
            }
        }
    }
    found.extend(rest.map(|word| Argument::Word(ungrouped(word))));
    found
}

/// What follows `-o`.
fn setting(raw: &str) -> Argument {
    let text = ungrouped(raw);
    match logical::split_name_value(&text) {
        Ok((name, value)) => Argument::Override(name.to_owned(), value.to_owned()),
        Err(reason) => {
            if raw.starts_with('{') {
                os_log::warning!("master.cf: {reason}");
            }
            Argument::Malformed(text)
        }
    }
}

/// The `-o` settings of an entry.
pub(crate) fn overrides(words: &[String]) -> Vec<(String, String)> {
    let pairs = arguments(words).into_iter().filter_map(|argument| match argument {
        Argument::Override(name, value) => Some((name, value)),
        Argument::Malformed(_) | Argument::Flag(_) | Argument::Word(_) => None,
    });
    pairs.collect()
}

fn ungrouped(word: &str) -> String {
    if word.starts_with('{') {
        return match list::braced(word) {
            Ok(inside) => inside.to_owned(),
            Err(reason) => {
                os_log::warning!("master.cf: {}", reason.0);
                word.trim_matches(['{', '}']).trim().to_owned()
            }
        };
    }
    word.to_owned()
}
