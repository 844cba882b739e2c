//! Tables of databases: those named `TYPE:PREFIX` take their parameters from main.cf (`PREFIX_hosts` …), those named
//! `TYPE:/path` from a file of their own (`parameter-services.md` §4).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use host_config::main_cf;
use mail_text::list;

use crate::print::Output;
use crate::{Outcome, replacement};

/// A table of a database: its type, and the prefix or the file of its parameters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    kind: String,
    place: String,
}

/// Depth of `{ … }` in which table names are looked for.
const GROUP_DEPTH: usize = 10;

/// The tables that a value names.
pub(crate) fn find(value: &str, found: &mut BTreeSet<Client>) {
    find_below(value, 0, found);
}

fn find_below(value: &str, depth: usize, found: &mut BTreeSet<Client>) {
    if depth > GROUP_DEPTH {
        return;
    }
    for word in list::words_with_groups(value) {
        let bare = word.trim_start_matches("proxy:").trim_start_matches("debug:");
        if let Some(at) = bare.find('{') {
            // A group behind "proxy:" is not looked into.
            if at > 0 || bare.len() == word.len() {
                let inside = bare.get(at + 1..).unwrap_or_default();
                find_below(inside.strip_suffix('}').unwrap_or(inside), depth + 1, found);
            }
            continue;
        }
        if let Some((kind, place)) = bare.split_once(':')
            && !suffixes(kind).is_empty()
            && !place.starts_with('.')
        {
            found.insert(Client { kind: kind.to_owned(), place: place.to_owned() });
        }
    }
}

impl Client {
    /// The names of its parameters in main.cf; none when it has a file.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let suffixes = if self.place.starts_with('/') { "" } else { suffixes(&self.kind) };
        suffixes
            .split(' ')
            .filter(|suffix| !suffix.is_empty())
            .map(|suffix| format!("{}_{suffix}", self.place))
    }

    /// Warns of what its file has and nobody reads. A file that the caller may not read is left alone.
    pub(crate) fn check_file(&self, quiet: bool, out: &mut Output) -> Outcome {
        if !self.place.starts_with('/') {
            return Ok(());
        }
        let (kind, place) = (&self.kind, &self.place);
        match fs::metadata(place).and_then(|file| fs::File::open(place).map(|_| file)) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => {
                let why = replacement::text_of(&error);
                out.warning(&format!("open \"{kind}\" configuration \"{place}\": {why}"));
                return Ok(());
            }
            Ok(file) if !file.is_file() => {
                out.warning(&format!("open \"{kind}\" configuration \"{place}\": not a regular file"));
                return Ok(());
            }
            Ok(_) => {}
        }
        let settings = main_cf::read(Path::new(place)).map_err(|e| e.to_string())?;
        for (name, value) in settings.iter().filter(|_| !quiet) {
            if !suffixes(kind).split(' ').any(|known| known == name) {
                out.warning(&format!("{kind}:{place}: unused parameter: {name}={value}"));
            }
        }
        Ok(())
    }
}

/// The parameters of a database client.
pub(crate) fn suffixes(kind: &str) -> &'static str {
    match kind {
        "ldap" => {
            "bind bind_dn bind_pw cache cache_expiry cache_size chase_referrals debuglevel dereference domain expansion_limit leaf_result_attribute query_filter recursion_limit result_attribute result_filter result_format sasl_authz_id sasl_mechs sasl_minssf sasl_realm scope search_base server_host server_port size_limit special_result_attribute start_tls terminal_result_attribute timeout tls_ca_cert_dir tls_ca_cert_file tls_cert tls_cipher_suite tls_key tls_random_file tls_require_cert version"
        }
        "memcache" => {
            "backup data_size_limit domain flags key_digest key_format line_size_limit max_try memcache retry_pause timeout ttl"
        }
        "mongodb" => {
            "collection dbname domain expansion_limit projection query_filter result_attribute result_format uri"
        }
        "mysql" => {
            "additional_conditions charset dbname domain expansion_limit hosts idle_interval option_file option_group password query require_result_set result_format retry_interval select_field table tls_CAfile tls_CApath tls_cert_file tls_ciphers tls_key_file tls_verify_cert user where_field"
        }
        "pgsql" => {
            "additional_conditions dbname domain encoding expansion_limit hosts idle_interval password query result_format retry_interval select_field select_function table user where_field"
        }
        "sqlite" => {
            "additional_conditions dbpath domain expansion_limit query result_format select_field table where_field"
        }
        _ => "",
    }
}
