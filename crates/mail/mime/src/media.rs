//! `Content-Type` and `Content-Transfer-Encoding` as far as structure needs them (RFC 2045 §5, §6).

/// The kinds of entity that structure depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Media {
    /// No structure inside.
    #[default]
    Leaf,
    /// Parts between boundaries; in `multipart/digest` the parts are messages unless they say otherwise.
    Multipart {
        /// `multipart/digest`
        digest: bool,
    },
    /// `message/rfc822`, `message/global`: headers follow the headers.
    Message,
    /// `message/*` without readable structure, as `message/partial`.
    OpaqueMessage,
}

/// The domain of the data (RFC 2045 §2.7-2.9) and whether it is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// 7bit, or nothing said.
    #[default]
    SevenBit,
    /// 8bit.
    EightBit,
    /// binary.
    Binary,
    /// base64, quoted-printable and others: 7bit data.
    Encoded,
}

impl Encoding {
    /// The value of a Content-Transfer-Encoding header.
    pub(crate) fn parse(value: &[u8]) -> Self {
        match tokens(value).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "7bit" => Self::SevenBit,
            "8bit" => Self::EightBit,
            "binary" => Self::Binary,
            _ => Self::Encoded,
        }
    }

    pub(crate) const fn is_eight_bit(self) -> bool {
        matches!(self, Self::EightBit | Self::Binary)
    }
}

/// A parsed Content-Type value: what it is, and the boundary parameter.
pub(crate) fn content_type(value: &[u8]) -> (Media, Option<String>) {
    let words: Vec<String> = tokens(value).collect();
    let word = |at: usize| words.get(at).map(|w| w.to_ascii_lowercase()).unwrap_or_default();
    let subtype = if word(1) == "/" { word(2) } else { String::new() };
    let media = match word(0).as_str() {
        "multipart" => Media::Multipart { digest: subtype == "digest" },
        "message" if subtype == "rfc822" || subtype == "global" => Media::Message,
        "message" => Media::OpaqueMessage,
        _ => Media::Leaf,
    };
    (media, boundary(&words))
}

fn boundary(words: &[String]) -> Option<String> {
    words.windows(4).find_map(|four| match four {
        [semicolon, name, equals, value]
            if semicolon == ";" && equals == "=" && name.eq_ignore_ascii_case("boundary") =>
        {
            Some(value.clone())
        }
        _ => None,
    })
}

/// Tokens, quoted strings (unquoted) and specials; comments are skipped.
fn tokens(value: &[u8]) -> impl Iterator<Item = String> + '_ {
    const SPECIALS: &[u8] = b"()<>@,;:\\\"/[]?=";
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let (&first, after) = rest.split_first()?;
            match first {
                // Exactly what ends a token below.
                blank if blank.is_ascii_whitespace() => rest = after,
                b'(' => rest = skip_comment(after),
                b'"' => {
                    let (text, tail) = quoted(after);
                    rest = tail;
                    return Some(text);
                }
                special if SPECIALS.contains(&special) => {
                    rest = after;
                    return Some(char::from(special).to_string());
                }
                _ => {
                    let end = rest
                        .iter()
                        .position(|b| b.is_ascii_whitespace() || SPECIALS.contains(b))
                        .unwrap_or(rest.len());
                    let (token, tail) = rest.split_at_checked(end)?;
                    rest = tail;
                    return Some(String::from_utf8_lossy(token).into_owned());
                }
            }
        }
    })
}

fn skip_comment(mut rest: &[u8]) -> &[u8] {
    let mut depth = 1usize;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => rest = rest.get(1..).unwrap_or_default(),
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    rest
}

fn quoted(mut rest: &[u8]) -> (String, &[u8]) {
    let mut text = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => break,
            b'\\' => {
                text.extend(rest.first());
                rest = rest.get(1..).unwrap_or_default();
            }
            b'\n' => {}
            _ => text.push(byte),
        }
    }
    (String::from_utf8_lossy(&text).into_owned(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_boundaries() {
        for (value, media, boundary) in [
            (" text/plain; charset=x", Media::Leaf, None),
            (" text\x0c/plain\x0c", Media::Leaf, None),
            (" multipart/mixed; boundary=\"a b\"", Media::Multipart { digest: false }, Some("a b")),
            (
                " Multipart/Digest (c; boundary=no);\n\tBOUNDARY=abc",
                Media::Multipart { digest: true },
                Some("abc"),
            ),
            (" message/rfc822", Media::Message, None),
            (" message/partial; id=1", Media::OpaqueMessage, None),
            ("", Media::Leaf, None),
        ] {
            assert_eq!(content_type(value.as_bytes()), (media, boundary.map(str::to_owned)), "{value}");
        }
        assert_eq!(Encoding::parse(b" 8BIT (x)"), Encoding::EightBit);
        assert_eq!(Encoding::parse(b" base64"), Encoding::Encoded);
    }
}
