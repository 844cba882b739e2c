//! Which tables answer without asking another process.

/// Table types that are in this process and never wait for anybody.
const LOCAL: [&str; 12] =
    ["hash", "btree", "cdb", "lmdb", "dbm", "sdbm", "texthash", "regexp", "pcre", "cidr", "static", "inline"];

/// Whether all tables named in a list (as in a parameter's value) answer without a server.
#[must_use]
pub fn asks_no_server(list: &str) -> bool {
    mail_text::list::words_with_groups(list).into_iter().all(|word| match word.split_once(':') {
        Some((kind, name)) if is_type(kind) && !name.is_empty() => {
            LOCAL.contains(&kind.to_ascii_lowercase().as_str())
        }
        Some(_) | None => true,
    })
}

fn is_type(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_in_other_processes_ask_a_server() {
        for (list, local) in [
            ("hash:/a, inline:{{a=b}}", true),
            ("proxy:unix:passwd.byname hash:/x", false),
            ("example.com, !10.0.0.0/8", true),
            ("ldap:/etc/x", false),
            ("[::1]/128", true),
            ("", true),
        ] {
            assert_eq!(asks_no_server(list), local, "{list}");
        }
    }
}
