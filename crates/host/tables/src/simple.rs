//! Small tables: `inline`, `static`, `environ`, `fail`, `unix`.

use std::collections::HashMap;
use std::sync::Arc;

use mail_lookup::{Found, KeyClass, Lookup, LookupError, Owner};
use mail_text::list;

use crate::Flags;
use crate::open::{OpenError, reason};

/// How one of the small tables finds its value.
enum Source {
    Records(HashMap<String, String>),
    Fixed(String),
    Environment,
    Fail(String),
    Passwd,
    Group,
}

struct Simple {
    name: String,
    fold: bool,
    class: KeyClass,
    source: Source,
}

impl Simple {
    fn shared(name: String, fold: bool, source: Source) -> Arc<dyn Lookup> {
        let class = if matches!(source, Source::Fail(_)) { KeyClass::Pattern } else { KeyClass::Fixed };
        Arc::new(Self { name, fold, class, source })
    }
}

impl Lookup for Simple {
    fn lookup(&self, key: &str) -> Found {
        let key = if self.fold { mail_address::fold(key) } else { key.to_owned() };
        match &self.source {
            Source::Records(records) => Ok(records.get(&key).cloned()),
            Source::Fixed(value) => Ok(Some(value.clone())),
            Source::Environment if key.is_empty() || key.contains(['=', '\0']) => Ok(None),
            Source::Environment => Ok(std::env::var(&key).ok()),
            Source::Fail(text) => Err(LookupError::Temporary(text.clone())),
            Source::Passwd => passwd(&key),
            Source::Group => group(&key),
        }
    }
    fn class(&self) -> KeyClass {
        self.class
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn records(&self) -> Option<Vec<(String, String)>> {
        match &self.source {
            Source::Records(records) => Some(crate::texthash::sorted(records)),
            Source::Fixed(_) | Source::Environment | Source::Fail(_) | Source::Passwd | Source::Group => None,
        }
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}

/// `inline:{k=v, {k = text, with comma}}`
pub(crate) fn inline(name: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    let need = "need \"inline:{name=value...}\"";
    let spec = format!("inline:{name}");
    if !name.starts_with('{') {
        return Err(OpenError(format!("bad syntax: \"{spec}\"; {need}")));
    }
    let bad = |reason: &str| OpenError(format!("{reason}: \"{spec}\"; {need}"));
    let inside = list::braced(name).map_err(|e| bad(&e.0))?;
    let mut records = HashMap::new();
    for element in list::words_with_groups(inside) {
        let pair =
            if element.starts_with('{') { list::braced(element).map_err(|e| bad(&e.0))? } else { element };
        let (key, value) = mail_text::logical::split_name_value(pair).map_err(|e| bad(&e))?;
        let key = if flags.fold { mail_address::fold(key) } else { key.to_owned() };
        records.insert(key, value.to_owned());
    }
    if records.is_empty() {
        return Err(OpenError(format!("empty table: \"{spec}\"; {need}")));
    }
    Ok(Simple::shared(spec, flags.fold, Source::Records(records)))
}

/// `static:text`, `static:{ text with blanks }`
pub(crate) fn fixed(name: &str) -> Result<Arc<dyn Lookup>, OpenError> {
    let value = if name.starts_with('{') {
        list::braced(name).map_err(|_| OpenError(format!("bad static:name syntax: static:{name}")))?
    } else {
        name
    };
    Ok(Simple::shared(format!("static:{name}"), false, Source::Fixed(value.to_owned())))
}

/// `environ:`; the name is ignored.
pub(crate) fn environ(name: &str, flags: Flags) -> Arc<dyn Lookup> {
    Simple::shared(format!("environ:{name}"), flags.fold, Source::Environment)
}

/// `fail:text`
pub(crate) fn fail(name: &str) -> Arc<dyn Lookup> {
    Simple::shared(format!("fail:{name}"), false, Source::Fail("Application error".into()))
}

/// `unix:passwd.byname`, `unix:group.byname`
pub(crate) fn unix(name: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    let source = match name {
        "passwd.byname" => Source::Passwd,
        "group.byname" => Source::Group,
        _ => return Err(OpenError(format!("unknown table: unix:{name}"))),
    };
    Ok(Simple::shared(format!("unix:{name}"), flags.fold, source))
}

fn passwd(key: &str) -> Found {
    let user = os_sys::identity::user_by_name(key).map_err(|e| LookupError::Temporary(reason(&e)))?;
    Ok(user.map(|user| {
        format!(
            "{}:{}:{}:{}:{}:{}:{}",
            user.name,
            "x",
            user.uid,
            user.gid,
            user.gecos,
            user.home.display(),
            user.shell
        )
    }))
}

fn group(key: &str) -> Found {
    let found =
        nix::unistd::Group::from_name(key).map_err(|e| LookupError::Temporary(e.desc().to_owned()))?;
    Ok(found.map(|group| {
        format!("{}:{}:{}:{}", group.name, group.passwd.to_string_lossy(), group.gid, group.mem.join(","))
    }))
}
