//! The attributes of a master.cf entry (`pipe(8)`, COMMAND ATTRIBUTE SYNTAX).

use std::path::PathBuf;

/// What stands between `pipe` and `argv=` in master.cf, and the argument vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) flags: Flags,
    /// `user=name[:group]`
    pub(crate) user: String,
    pub(crate) group: Option<String>,
    /// `null_sender=`
    pub(crate) null_sender: String,
    /// `eol=`
    pub(crate) eol: Vec<u8>,
    /// `chroot=`
    pub(crate) chroot: Option<PathBuf>,
    /// `directory=`
    pub(crate) directory: Option<PathBuf>,
    /// `size=`, bytes; 0: no limit.
    pub(crate) size: i64,
    /// Everything after `argv=`, unexpanded.
    pub(crate) argv: Vec<String>,
}

/// `flags=`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each letter")]
pub(crate) struct Flags {
    /// `B`: empty line after the message.
    pub(crate) final_blank: bool,
    /// `D`: Delivered-To, and a loop check.
    pub(crate) delivered_to: bool,
    /// `F`: From_ line.
    pub(crate) from_line: bool,
    /// `O`: X-Original-To.
    pub(crate) original_to: bool,
    /// `R`: Return-Path.
    pub(crate) return_path: bool,
    /// `X`: a success is final delivery.
    pub(crate) is_final: bool,
    /// `h`: lower case for domains and next hop.
    pub(crate) fold_domain: bool,
    /// `u`: lower case for local parts.
    pub(crate) fold_user: bool,
    /// `q`: quote local parts.
    pub(crate) quote: bool,
    /// `.`: double leading dots.
    pub(crate) quote_dot: bool,
    /// `>`: quote `From `.
    pub(crate) quote_from: bool,
}

impl Flags {
    fn parse(text: &str) -> Self {
        let mut flags = Self::default();
        for letter in text.chars() {
            match letter {
                'B' => flags.final_blank = true,
                'D' => flags.delivered_to = true,
                'F' => flags.from_line = true,
                'O' => flags.original_to = true,
                'R' => flags.return_path = true,
                'X' => flags.is_final = true,
                'h' => flags.fold_domain = true,
                'u' => flags.fold_user = true,
                'q' => flags.quote = true,
                '.' => flags.quote_dot = true,
                '>' => flags.quote_from = true,
                ' ' | '\t' | ',' => {}
                other => os_log::warning!("unknown flag: {other} (ignored)"),
            }
        }
        flags
    }
}

impl Arguments {
    /// Reads them. Unknown flag letters are warned about, as the reference does.
    ///
    /// # Errors
    /// What is wrong, for `fatal:`.
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let mut arguments =
            Self { null_sender: "MAILER-DAEMON".to_owned(), eol: b"\n".to_vec(), ..Self::default() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some((name, value)) = word.split_once('=') else {
                return Err(format!("unknown attribute name: {word}"));
            };
            if name == "argv" {
                arguments.argv.push(value.to_owned());
                arguments.argv.extend(words.by_ref().cloned());
            } else {
                arguments.set(name, value)?;
            }
        }
        if arguments.user.is_empty() {
            return Err("missing user= command-line attribute".to_owned());
        }
        if arguments.argv.iter().all(String::is_empty) {
            return Err("missing argv= command-line attribute".to_owned());
        }
        Ok(arguments)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "flags" => self.flags = Flags::parse(value),
            "user" => match value.split_once(':') {
                Some((user, group)) => {
                    user.clone_into(&mut self.user);
                    self.group = Some(group.to_owned());
                }
                None => value.clone_into(&mut self.user),
            },
            "null_sender" => value.clone_into(&mut self.null_sender),
            "eol" => self.eol = unescaped(value),
            "chroot" => self.chroot = Some(PathBuf::from(value)),
            "directory" => self.directory = Some(PathBuf::from(value)),
            "size" => {
                self.size = value
                    .parse()
                    .ok()
                    .filter(|size| *size >= 0)
                    .ok_or_else(|| format!("bad size= value: {value}"))?;
            }
            _ => return Err(format!("unknown attribute name: {name}")),
        }
        Ok(())
    }
}

/// C escapes: `\n`, `\r`, `\t`, `\\`, `\ooo` …
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'a') => out.push(7),
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(11),
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    if let Some(next) = bytes.next_if(|b| (b'0'..=b'7').contains(b)) {
                        value = value * 8 + u32::from(next - b'0');
                    }
                }
                out.push(u8::try_from(value & 0xff).unwrap_or_default());
            }
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn attributes_come_before_argv() {
        let parsed = Arguments::parse(&words(
            "flags=DRhu user=vmail:mail size=100 eol=\\r\\n argv=/bin/x -f $sender a=b",
        ))
        .unwrap();
        assert!(parsed.flags.delivered_to && parsed.flags.return_path && !parsed.flags.quote);
        assert_eq!((parsed.user.as_str(), parsed.group.as_deref()), ("vmail", Some("mail")));
        assert_eq!(parsed.eol, b"\r\n");
        assert_eq!(parsed.argv, ["/bin/x", "-f", "$sender", "a=b"]);
    }

    #[test]
    fn what_is_missing_is_told() {
        for (text, expected) in [
            ("argv=/bin/x", "missing user= command-line attribute"),
            ("user=a", "missing argv= command-line attribute"),
            ("user=a foo=b argv=x", "unknown attribute name: foo"),
        ] {
            assert_eq!(Arguments::parse(&words(text)).unwrap_err(), expected);
        }
    }
}
