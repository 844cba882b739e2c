//! `cidr`: address patterns, cidr_table(5).

use std::net::IpAddr;
use std::sync::Arc;

use mail_lookup::{Found, KeyClass, Lookup, Owner};

use super::{Parsed, Place, Program, after_keyword, load};
use crate::network_pattern::Pattern;
use crate::open::OpenError;

/// A pattern and whether a match counts as none.
struct Condition {
    negated: bool,
    pattern: Pattern,
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        let (negated, text) = strip_negations(text);
        if text.is_empty() {
            return Err("no address pattern".to_owned());
        }
        Ok(Self { negated, pattern: Pattern::parse(text)? })
    }

    /// A rule only speaks about its own address family.
    fn matches(&self, address: IpAddr) -> bool {
        self.pattern.same_family(address) && self.pattern.matches(address) != self.negated
    }
}

/// Whether the number of leading `!` is odd, and what follows them.
pub(super) fn strip_negations(mut text: &str) -> (bool, &str) {
    let mut negated = false;
    while let Some(rest) = text.strip_prefix('!') {
        negated = !negated;
        text = rest.trim_start();
    }
    (negated, text)
}

struct Cidr {
    name: String,
    owner: Owner,
    program: Program<Condition, (Condition, String)>,
}

/// Opens `cidr:name`.
pub(crate) fn open(name: &str) -> Result<Arc<dyn Lookup>, OpenError> {
    let (program, owner) = load("cidr", name, "ENDIF without IF: skipping this rule", rule)?;
    Ok(Arc::new(Cidr { name: format!("cidr:{name}"), owner, program }))
}

fn rule(place: &Place<'_>, line: &str) -> Parsed<Condition, (Condition, String)> {
    let skip = |reason: &str| {
        place.warn(&format!("{reason}: skipping this rule"));
        Parsed::Skipped
    };
    if let Some(rest) = after_keyword(line, "endif") {
        return if rest.is_empty() { Parsed::Endif } else { skip("garbage after ENDIF") };
    }
    if let Some(rest) = after_keyword(line, "if") {
        return match Condition::parse(rest) {
            Ok(condition) => Parsed::If(condition),
            Err(reason) => skip(&reason),
        };
    }
    let (bangs, rest) = line.split_at(line.len() - strip_negations(line).1.len());
    let (pattern, value) = match rest.split_once(|c: char| c.is_ascii_whitespace()) {
        Some((pattern, value)) => (pattern, value.trim()),
        None => (rest, ""),
    };
    if value.is_empty() {
        return skip("no lookup result");
    }
    match Condition::parse(&format!("{bangs}{pattern}")) {
        Ok(condition) => Parsed::Match((condition, value.to_owned())),
        Err(reason) => skip(&reason),
    }
}

impl Lookup for Cidr {
    fn lookup(&self, key: &str) -> Found {
        let Ok(address) = key.parse::<IpAddr>() else { return Ok(None) };
        Ok(self.program.run(
            |condition| condition.matches(address),
            |(condition, value)| condition.matches(address).then(|| value.clone()),
        ))
    }
    fn class(&self) -> KeyClass {
        KeyClass::Pattern
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_wins() {
        let table = open("{{if 10.0.0.0/8}, {10.1.0.0/16 one}, {!10.2.0.0/16 not two}, {endif}, {[::1] six}, {0.0.0.0/0 any}}")
            .unwrap();
        for (key, want) in [
            ("10.1.2.3", Some("one")),
            ("10.2.2.3", Some("any")),
            ("10.3.2.3", Some("not two")),
            ("::1", Some("six")),
            ("::2", None),
            ("host", None),
        ] {
            assert_eq!(table.lookup(key), Ok(want.map(str::to_owned)), "{key}");
        }
    }
}
