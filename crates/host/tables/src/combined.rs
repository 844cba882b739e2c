//! Tables made of tables: `pipemap`, `unionmap`; and `randmap`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mail_lookup::{Found, KeyClass, Lookup, Owner};
use mail_text::list;

use crate::open::{OpenError, open_nested};
use crate::{Flags, TableContext};

enum Combination {
    /// The value of one table is the key of the next.
    Pipe,
    /// All values, joined with commas.
    Union,
}

struct Combined {
    name: String,
    combination: Combination,
    tables: Vec<Arc<dyn Lookup>>,
}

pub(crate) fn open(
    kind: &str,
    name: &str,
    flags: Flags,
    cx: &TableContext,
    depth: usize,
) -> Result<Arc<dyn Lookup>, OpenError> {
    let spec = format!("{kind}:{name}");
    let bad = |what: &str| OpenError(format!("{what}: \"{spec}\"; need \"{kind}:{{type:name...}}\""));
    let members = members(name).map_err(|reason| bad(&reason))?;
    let tables: Result<Vec<_>, OpenError> =
        members.iter().map(|member| open_nested(member, flags, cx, depth + 1)).collect();
    let combination = if kind == "pipemap" { Combination::Pipe } else { Combination::Union };
    Ok(Arc::new(Combined { name: spec, combination, tables: tables? }))
}

fn members(name: &str) -> Result<Vec<&str>, String> {
    if !name.starts_with('{') {
        return Err("bad syntax".to_owned());
    }
    let inside = list::braced(name).map_err(|e| e.0)?;
    let members = list::words_with_groups(inside);
    if members.is_empty() { Err("bad syntax".to_owned()) } else { Ok(members) }
}

impl Lookup for Combined {
    fn lookup(&self, key: &str) -> Found {
        match self.combination {
            Combination::Pipe => {
                let mut value = key.to_owned();
                for table in &self.tables {
                    match table.lookup(&value)? {
                        Some(next) => value = next,
                        None => return Ok(None),
                    }
                }
                Ok(Some(value))
            }
            Combination::Union => {
                let mut values = Vec::new();
                for table in &self.tables {
                    values.extend(table.lookup(key)?);
                }
                Ok(if values.is_empty() { None } else { Some(values.join(",")) })
            }
        }
    }
    fn class(&self) -> KeyClass {
        self.tables.first().map_or(KeyClass::Pattern, |table| table.class())
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn owner(&self) -> Owner {
        self.tables.iter().map(|table| table.owner()).fold(Owner::Trusted, less_trusted)
    }
    fn changed(&self) -> bool {
        self.tables.iter().any(|table| table.changed())
    }
}

/// Two different untrusted owners are like no known owner at all.
fn less_trusted(one: Owner, other: Owner) -> Owner {
    match (one, other) {
        (Owner::Trusted, owner) | (owner, Owner::Trusted) => owner,
        (Owner::Uid(a), Owner::Uid(b)) if a == b => Owner::Uid(a),
        (Owner::Uid(_) | Owner::Unknown, Owner::Uid(_) | Owner::Unknown) => Owner::Unknown,
    }
}

struct Random {
    name: String,
    values: Vec<String>,
    state: AtomicUsize,
}

/// `randmap:{v1, v2}`
pub(crate) fn randmap(name: &str) -> Result<Arc<dyn Lookup>, OpenError> {
    let spec = format!("randmap:{name}");
    let values = members(name)
        .map_err(|reason| OpenError(format!("{reason}: \"{spec}\"; need \"randmap:{{value...}}\"")))?
        .into_iter()
        .map(|value| list::braced(value).unwrap_or(value).to_owned())
        .collect();
    let seed = usize::try_from(os_sys::time::now().subsec_nanos()).unwrap_or(1) ^ std::process::id() as usize;
    Ok(Arc::new(Random { name: spec, values, state: AtomicUsize::new(seed) }))
}

impl Lookup for Random {
    fn lookup(&self, _key: &str) -> Found {
        // A multiplicative generator's high bits are even enough for load sharing.
        let step = |state: usize| {
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let state =
            self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |s| Some(step(s))).unwrap_or(0);
        let index = (step(state) >> 33) % self.values.len().max(1);
        Ok(self.values.get(index).cloned())
    }
    fn class(&self) -> KeyClass {
        KeyClass::Pattern
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
