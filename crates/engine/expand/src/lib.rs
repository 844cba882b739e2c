//! Local alias and .forward expansion, as decisions without IO: what a right-hand side means, which deliveries are
//! repetitions, what becomes of an address extension.

use std::collections::HashSet;

use mail_address::token;

/// One destination of an alias, a .forward file or an `:include:` list (`aliases(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/file/name` or `~/file`; a trailing `/` means a Maildir.
    File(String),
    /// `|command`
    Command(String),
    /// `:include:/file/name`
    Include(String),
    /// An address in external form.
    Address(String),
}

/// Elements of one right-hand side, at most.
const TARGET_LIMIT: usize = 100_000;

/// The destinations of a right-hand side: a comma separated list, where quotes keep blanks and commas together. A
/// backslash before a name quotes its first letter only: `\\name` is `name`.
#[must_use]
pub fn targets(text: &str) -> Vec<Target> {
    let mut found = Vec::new();
    let mut rest = elements(text);
    rest.reverse();
    while let Some(element) = rest.pop() {
        let element = element.trim();
        // `group: member, member;` is one element.
        let end = opens_group(element).then(|| rest.iter().rposition(|later| has_bare(later, ';'))).flatten();
        match end {
            Some(end) if !has_bare(element, ';') => {
                let members = rest.split_off(end);
                let group: Vec<&str> = std::iter::once(element).chain(members.into_iter().rev()).collect();
                found.extend(addresses(&group.join(",")));
            }
            Some(_) | None => found.extend(element_targets(element)),
        }
        found.truncate(TARGET_LIMIT);
    }
    found
}

/// Whether the name of an RFC 5322 group may stand at the start.
fn opens_group(element: &str) -> bool {
    !element.starts_with(['"', '|', '/', '~', ':', '@', '<']) && has_bare(element, ':')
}

/// Whether `wanted` stands outside of quotes.
fn has_bare(text: &str, wanted: char) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    text.chars().any(|c| {
        let found = c == wanted && !quoted && !escaped;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        found
    })
}

fn addresses(text: &str) -> Vec<Target> {
    token::addresses(text).into_iter().filter(|address| !address.is_empty()).map(Target::Address).collect()
}

fn element_targets(element: &str) -> Vec<Target> {
    if element.is_empty() {
        return Vec::new();
    }
    let plain = unquoted(element);
    let bare = plain.as_deref().unwrap_or(element);
    if let Some(path) = strip_prefix_ignoring_case(bare, ":include:") {
        return vec![Target::Include(path.trim().to_owned())];
    }
    if let Some(command) = bare.strip_prefix('|') {
        return vec![Target::Command(command.trim_start().to_owned())];
    }
    if bare.starts_with('/') || bare.starts_with("~/") {
        if plain.is_some() || !bare.contains(|c: char| c.is_ascii_whitespace()) {
            return vec![Target::File(bare.to_owned())];
        }
        return bare.split_ascii_whitespace().flat_map(element_targets).collect();
    }
    addresses(element)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Splits at commas outside of quotes, comments and angle brackets.
fn elements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quoted, mut comment, mut angle, mut escaped) = (0, false, 0usize, false, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' if comment == 0 => quoted = !quoted,
            '(' if !quoted => comment += 1,
            ')' if !quoted => comment = comment.saturating_sub(1),
            '<' if !quoted && comment == 0 => angle = true,
            '>' if !quoted && comment == 0 => angle = false,
            ',' | '\n' if !quoted && comment == 0 && !angle => {
                found.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.extend(text.get(start..));
    found
}

/// The inside of an element that is one quoted string.
fn unquoted(element: &str) -> Option<String> {
    let inside = element.strip_prefix('"')?;
    let mut out = String::new();
    let mut characters = inside.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => out.push(characters.next()?),
            c => out.push(c),
        }
    }
    characters.as_str().trim().is_empty().then_some(out)
}

/// Whether a .forward or include line is a comment or blank.
#[must_use]
pub fn is_comment(line: &str) -> bool {
    let visible = line.trim_start();
    visible.is_empty() || visible.starts_with('#')
}

/// Puts an unmatched extension behind the local part of an address in internal form.
#[must_use]
pub fn with_extension(address: &str, extension: &str) -> String {
    match mail_address::split(address) {
        (local, Some(domain)) => format!("{local}{extension}@{domain}"),
        (local, None) => format!("{local}{extension}"),
    }
}

/// One delivery, as far as doing it once is enough.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Resolving a recipient at a nesting level.
    Recipient(usize, String),
    /// Running a command as a user.
    Command(String, u32),
    /// Writing a file as a user.
    File(String, u32),
    /// Reading an `:include:` file as a user.
    Include(String, u32),
    /// Reading a .forward file.
    Forward(String),
    /// Delivering to a user's mailbox.
    Mailbox(String),
    /// Handing an address back to the queue.
    Indirect(String),
}

/// Remembers what has been done for a recipient (`postconf(5) duplicate_filter_limit`).
#[derive(Clone, Debug, Default)]
pub struct DuplicateFilter {
    limit: usize,
    done: HashSet<Deed>,
}

impl DuplicateFilter {
    /// A filter that remembers this many deeds; 0: any number.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, done: HashSet::new() }
    }

    /// Whether the deed has been seen before; remembers it.
    pub fn seen(&mut self, deed: Deed) -> bool {
        if self.done.contains(&deed) {
            return true;
        }
        if self.limit == 0 || self.done.len() < self.limit {
            self.done.insert(deed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_hand_sides_are_files_commands_includes_or_addresses() {
        let address = |text: &str| Target::Address(text.to_owned());
        for (text, expected) in [
            ("joe, ann@example.org", vec![address("joe"), address("ann@example.org")]),
            ("/var/log/x", vec![Target::File("/var/log/x".into())]),
            ("/a\u{2003}b", vec![Target::File("/a\u{2003}b".into())]),
            ("~/Maildir/", vec![Target::File("~/Maildir/".into())]),
            ("\"|/bin/cmd -x 'a, b'\"", vec![Target::Command("/bin/cmd -x 'a, b'".into())]),
            ("|cat", vec![Target::Command("cat".into())]),
            (":include:/etc/list", vec![Target::Include("/etc/list".into())]),
            ("\":include:/etc/list\", joe", vec![Target::Include("/etc/list".into()), address("joe")]),
            ("Joe Doe <joe@x>, (c, d) ann", vec![address("joe@x"), address("ann")]),
            ("\\joe, \"|x\"", vec![address("joe"), Target::Command("x".into())]),
            ("", vec![]),
            ("(nobody)", vec![]),
        ] {
            assert_eq!(targets(text), expected, "{text}");
        }
    }

    #[test]
    fn a_deed_is_done_once() {
        let mut filter = DuplicateFilter::new(1);
        assert!(!filter.seen(Deed::Mailbox("joe".into())));
        assert!(filter.seen(Deed::Mailbox("joe".into())));
        assert!(!filter.seen(Deed::File("joe".into(), 1)));
        assert!(!filter.seen(Deed::File("joe".into(), 1)), "beyond the limit nothing is remembered");
    }

    #[test]
    fn extensions_go_behind_the_local_part() {
        assert_eq!(with_extension("joe@x", "+list"), "joe+list@x");
        assert_eq!(with_extension("joe", "-list"), "joe-list");
    }

    #[test]
    fn a_group_is_one_element() {
        for (text, want) in [
            ("friends: a, b@x;", vec!["a", "b@x"]),
            ("c, friends: a, b; , d", vec!["c", "a", "b", "d"]),
            ("friends: a;, d", vec!["a", "d"]),
            ("@route:a@x, b", vec!["a@x", "b"]),
        ] {
            let found: Vec<String> = targets(text)
                .into_iter()
                .map(|target| match target {
                    Target::Address(address) => address,
                    other => format!("{other:?}"),
                })
                .collect();
            assert_eq!(found, want, "{text}");
        }
    }
}
