//! Requests in both dialects: 3.11 has `instance_flags` before `flags`, 3.7 has not.

use proto_ipc::Error;

/// Attributes of a request at the most.
const ATTRIBUTE_LIMIT: usize = 16;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Open,
    Lookup(String),
    Update(String, String),
    Delete(String),
    /// From the first record, or on.
    Sequence(bool),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) action: Action,
    /// `type:name`, without `proxy:`.
    pub(crate) table: String,
    pub(crate) open_flags: u32,
    /// The 3.7 dialect.
    pub(crate) is_classic: bool,
}

impl Request {
    /// The request's name.
    pub(crate) fn verb(&self) -> &'static str {
        match self.action {
            Action::Open => "open",
            Action::Lookup(_) => "lookup",
            Action::Update(..) => "update",
            Action::Delete(_) => "delete",
            Action::Sequence(_) => "sequence",
        }
    }
}

/// Reads one list. `Some(None)`: it is complete, but no request that is known.
///
/// # Errors
/// More attributes than any request has.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Option<Request>, usize)>, Error> {
    let mut words = bytes.split_inclusive(|byte| *byte == 0);
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut used = 0;
    loop {
        let Some(name) = words.next().and_then(|word| word.strip_suffix(b"\0")) else { return Ok(None) };
        used += name.len() + 1;
        if name.is_empty() {
            return Ok(Some((interpret(&pairs), used)));
        }
        let Some(value) = words.next().and_then(|word| word.strip_suffix(b"\0")) else { return Ok(None) };
        used += value.len() + 1;
        if pairs.len() >= ATTRIBUTE_LIMIT {
            return Err(Error::TooLarge);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        pairs.push((text(name), text(value)));
    }
}

fn interpret(pairs: &[(String, String)]) -> Option<Request> {
    let mut rest = pairs.iter();
    let mut take =
        |name: &str| rest.next().filter(|(found, _)| found == name).map(|(_, value)| value.clone());
    let verb = take("request")?;
    let mut table = take("table")?.as_str().to_owned();
    while let Some(inner) = table.strip_prefix("proxy:") {
        table = inner.to_owned();
    }
    let is_classic = !pairs.iter().any(|(name, _)| name == "instance_flags");
    let open_flags = if is_classic { take("flags")? } else { take("instance_flags")? };
    if !is_classic && verb != "open" {
        take("flags")?;
    }
    let action = match verb.as_str() {
        "open" => Action::Open,
        "lookup" => Action::Lookup(take("key")?),
        "update" => Action::Update(take("key")?, take("value")?),
        "delete" => Action::Delete(take("key")?),
        "sequence" => Action::Sequence(take("function")? == "0"),
        _ => return None,
    };
    Some(Request { action, table, open_flags: open_flags.parse().ok()?, is_classic })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_are_understood() {
        let classic = b"request\0lookup\0table\0unix:passwd.byname\0flags\x0064\0key\0root\0\0";
        let (request, used) = decode(classic).unwrap().unwrap();
        assert_eq!(used, classic.len());
        let request = request.unwrap();
        assert!(request.is_classic);
        assert_eq!((request.action, request.open_flags), (Action::Lookup("root".into()), 64));
        let new = b"request\0open\0table\0proxy:proxy:hash:/x\0instance_flags\x000\0\0rest";
        let (request, used) = decode(new).unwrap().unwrap();
        assert_eq!(used, new.len() - 4);
        assert_eq!(request.unwrap().table, "hash:/x");
        assert_eq!(decode(b"request\0foo\0\0").unwrap().unwrap().0, None);
        assert_eq!(decode(b"request\0foo\0").unwrap(), None);
    }
}
