//! Command-line options as getopt(3) of the C library takes them: single letters, grouped, arguments attached or not,
//! operands anywhere unless the option string starts with `+`.

/// One parsed item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `-x`, without argument.
    Flag(char),
    /// `-x value` or `-xvalue`.
    Value(char, String),
    /// `-x` that the option string does not know; getopt prints `PROGRAM: invalid option -- 'x'`.
    Unknown(char),
    /// `-x` without its argument; getopt prints `PROGRAM: option requires an argument -- 'x'`.
    Missing(char),
}

impl Item {
    /// What getopt(3) prints on standard error before it returns `?`, without the program's name.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        match self {
            Self::Unknown(c) => Some(format!("invalid option -- '{c}'")),
            Self::Missing(c) => Some(format!("option requires an argument -- '{c}'")),
            Self::Flag(_) | Self::Value(..) => None,
        }
    }
}

/// Options in order, and operands. `arguments` is without argv\[0\]; `spec` as in getopt(3): `"ab:c"`, a leading `+`
/// stops at the first operand, `x::` takes a value only if it is attached.
#[must_use]
pub fn parse(arguments: &[String], spec: &str) -> (Vec<Item>, Vec<String>) {
    let (stop_at_operand, spec) = spec.strip_prefix('+').map_or((false, spec), |spec| (true, spec));
    let mut items = Vec::new();
    let mut operands = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix('-') {
            Some("-") => {
                operands.extend(rest.cloned());
                break;
            }
            Some(letters) if !letters.is_empty() => group(letters, spec, &mut rest, &mut items),
            Some(_) | None if stop_at_operand => {
                operands.push(argument.clone());
                operands.extend(rest.cloned());
                break;
            }
            Some(_) | None => operands.push(argument.clone()),
        }
    }
    (items, operands)
}

/// The letters of one argument.
fn group(letters: &str, spec: &str, rest: &mut std::slice::Iter<'_, String>, items: &mut Vec<Item>) {
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        match takes_value(spec, letter) {
            None => items.push(Item::Unknown(letter)),
            Some(Takes::Nothing) => items.push(Item::Flag(letter)),
            Some(Takes::Attached) => {
                items.push(Item::Value(letter, letters.as_str().to_owned()));
                return;
            }
            Some(Takes::Value) => {
                let attached = letters.as_str();
                let value =
                    if attached.is_empty() { rest.next().cloned() } else { Some(attached.to_owned()) };
                items.push(value.map_or(Item::Missing(letter), |value| Item::Value(letter, value)));
                return;
            }
        }
    }
}

/// What an option letter wants.
enum Takes {
    /// No value.
    Nothing,
    /// A value, attached or the next argument.
    Value,
    /// A value only if it is attached (`x::`); else an empty one.
    Attached,
}

fn takes_value(spec: &str, letter: char) -> Option<Takes> {
    if letter == ':' {
        return None;
    }
    let at = spec.find(letter)?;
    let rest = spec.get(at + letter.len_utf8()..)?;
    Some(match (rest.starts_with("::"), rest.starts_with(':')) {
        (true, _) => Takes::Attached,
        (false, true) => Takes::Value,
        (false, false) => Takes::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_as_getopt_takes_them() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (items, operands) = parse(&words("-ab one -c two -cthree -z -- -a"), "abc:");
        let v = |text: &str| Item::Value('c', text.to_owned());
        assert_eq!(items, [Item::Flag('a'), Item::Flag('b'), v("two"), v("three"), Item::Unknown('z')]);
        assert_eq!(operands, ["one", "-a"]);
        assert_eq!(parse(&words("-a one -b"), "+ab"), (vec![Item::Flag('a')], words("one -b")));
        assert_eq!(parse(&words("- -c"), "c:"), (vec![Item::Missing('c')], words("-")));
    }
}
