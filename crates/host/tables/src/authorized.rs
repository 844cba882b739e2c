//! Who may submit mail, view or flush the queue (`postconf(5) authorized_submit_users` and its kin).

use host_config::{Config, param};

use crate::{Kind, MatchList, TableContext};

/// Whether a user may do what the list `parameter` governs; if not, why: the text of the reference. `what` completes
/// `is not allowed to …`.
///
/// # Errors
/// The text of the fatal error, also when a table of the list cannot tell.
pub fn authorize(config: &Config, parameter: param::Str, uid: u32, what: &str) -> Result<(), String> {
    let value = config.str(parameter).map_err(|error| error.to_string())?;
    if value == "static:anyone" {
        return Ok(());
    }
    let user = os_sys::identity::user_by_uid(uid)
        .map_err(|error| format!("unable to look up user ID {uid}: {error}"))?;
    let user = user.map_or_else(|| "unknown".to_owned(), |user| user.name);
    let context = TableContext::new(config).map_err(|error| error.to_string())?.for_command();
    let list = MatchList::parse(parameter.name(), &value, Kind::Strings, false, &context);
    match list.matches_string(&user) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("User {user}({uid}) is not allowed to {what}")),
        Err(error) => Err(format!("{}: {error}", parameter.name())),
    }
}
