//! Start-up sanity checks over the whole configuration (`config.md` §4), in the reference's order.

use os_sys::identity::{self, User};

use crate::main_cf::errno_text;
use crate::param::{self, Kind, Row};
use crate::{Config, ConfigError, Result, computed, fail};

/// syslog(3) facilities.
const FACILITIES: &[&str] = &[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7", "lpr", "mail", "news", "security", "syslog", "user", "uucp",
];

impl Config {
    /// Checks what every program checks at start: `program` also has its own parameters looked at.
    ///
    /// # Errors
    /// The fatal text of the first thing that is wrong.
    pub fn check(&self, program: &str) -> Result<()> {
        self.compatibility_level()?;
        let facility = self.str(param::SYSLOG_FACILITY)?;
        if !FACILITIES.contains(&facility.as_str()) {
            return fail(format!("{}: unrecognized value: {facility}", self.parameter("syslog_facility")));
        }
        self.warn_of_ports()?;
        if self.protocols()? == (false, false) {
            return fail("all network protocols are disabled");
        }
        for name in [param::MYHOSTNAME, param::MYDOMAIN] {
            let value = self.str(name)?;
            if !mail_address::hostname::is_hostname(&value) {
                return fail(format!("{}: bad parameter value: {value}", self.parameter(name.name())));
            }
        }
        self.check_values(program)?;
        self.check_identities()?;
        self.warn_of_permissions()?;
        self.check_relations()
    }

    fn parameter(&self, name: &str) -> String {
        format!("file {}/main.cf: parameter {name}", self.dir().display())
    }

    /// Explicit values of the parameters that this program or all programs read.
    fn check_values(&self, program: &str) -> Result<()> {
        let mine = |row: &Row| row.programs.split(',').any(|reader| reader == "all" || reader == program);
        for kind in [Kind::Str, Kind::Int, Kind::Long, Kind::Bool, Kind::Time] {
            for name in self.settings().keys() {
                let Some(row) = param::find(name).filter(|row| row.kind == kind && mine(row)) else {
                    continue;
                };
                self.check_value(row)?;
            }
        }
        Ok(())
    }

    /// The port of a service: a number, a name of `known_tcp_ports`, or one of the services database.
    ///
    /// # Errors
    /// Bad expansion of the parameter.
    pub fn port(&self, service: &str) -> Result<Option<u16>> {
        if let Ok(number) = service.parse() {
            return Ok(Some(number));
        }
        let value = self.str(param::KNOWN_TCP_PORTS)?;
        let known = value.split(',').filter_map(|word| word.rsplit_once('=')).find_map(|(names, port)| {
            names.split('=').any(|name| name.trim() == service).then(|| port.trim().parse().ok()).flatten()
        });
        Ok(known.or_else(|| os_sys::net::service_port(service)))
    }

    fn warn_of_ports(&self) -> Result<()> {
        let value = self.str(param::KNOWN_TCP_PORTS)?;
        let mut seen: Vec<&str> = Vec::new();
        for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (names, port) = word.rsplit_once('=').unwrap_or((word, ""));
            for name in names.split('=') {
                match port_mistake(name.trim(), port.trim(), &seen) {
                    Some(tail) => os_log::warning!("known_tcp_ports: in \"{word}\": {tail}"),
                    None => seen.push(name.trim()),
                }
            }
        }
        Ok(())
    }

    fn user(&self, parameter: &str, name: &str) -> Result<User> {
        let about = self.parameter(parameter);
        let found = identity::user_by_name(name)
            .map_err(|e| ConfigError(format!("{about}: cannot look up user {name}: {}", errno_text(&e))))?;
        let Some(user) = found else { return fail(format!("{about}: unknown user name value: {name}")) };
        if user.uid == 0 {
            return fail(format!("{about}: user {name} has privileged user ID"));
        }
        if user.gid == 0 {
            return fail(format!("{about}: user {name} has privileged group ID"));
        }
        Ok(user)
    }

    /// `default_privs`, `mail_owner` and `setgid_group` must exist, and be apart. An ordinary user who runs the whole
    /// suite plays all the parts, so nothing needs to be apart there.
    fn check_identities(&self) -> Result<()> {
        let own = nix::unistd::geteuid();
        let owner_name = self.str(param::MAIL_OWNER)?;
        if !own.is_root()
            && identity::user_by_uid(own.as_raw()).is_ok_and(|me| me.is_some_and(|me| me.name == owner_name))
        {
            return Ok(());
        }
        let privs_name = self.str(param::DEFAULT_PRIVS)?;
        let group_name = self.str(param::SETGID_GROUP)?;
        let privs = self.user("default_privs", &privs_name)?;
        let owner = self.user("mail_owner", &owner_name)?;
        if let Ok(Some(other)) = identity::user_by_uid(owner.uid)
            && other.name != owner.name
        {
            let about = self.parameter("mail_owner");
            return fail(format!(
                "{about}: user {} has the same user ID {} as user {}",
                owner.name, owner.uid, other.name
            ));
        }
        let about = self.parameter("setgid_group");
        let group = identity::group_by_name(&group_name).map_err(|e| {
            ConfigError(format!("{about}: cannot look up group {group_name}: {}", errno_text(&e)))
        })?;
        let Some(group) = group else { return fail(format!("{about}: unknown group name: {group_name}")) };
        if group == 0 {
            return fail(format!("{about}: group {group_name} has privileged group ID"));
        }
        self.check_apart(&privs, &owner, &group_name, group)
    }

    fn check_apart(&self, privs: &User, owner: &User, group_name: &str, group: u32) -> Result<()> {
        let both = format!("file {}/main.cf: parameters default_privs and mail_owner", self.dir().display());
        if privs.name == owner.name {
            return fail(format!("{both} specify the same user {}", owner.name));
        }
        if privs.uid == owner.uid {
            return fail(format!(
                "{both}: users {} and {} have the same user ID: {}",
                privs.name, owner.name, owner.uid
            ));
        }
        if privs.gid == owner.gid {
            return fail(format!(
                "{both}: users {} and {} have the same group ID: {}",
                privs.name, owner.name, owner.gid
            ));
        }
        for (parameter, user) in [("default_privs", privs), ("mail_owner", owner)] {
            if user.gid == group {
                let dir = self.dir().display();
                return fail(format!(
                    "file {dir}/main.cf: parameters {parameter} and setgid_group: user {} and group {group_name} have the same group ID: {group}",
                    user.name
                ));
            }
        }
        Ok(())
    }

    fn warn_of_permissions(&self) -> Result<()> {
        let value = self.str(param::MAILLOG_FILE_PERMISSIONS)?;
        if !["600", "640", "644"].contains(&value.trim_start_matches('0')) {
            os_log::warning!("ignoring bad permissions: maillog_file_permissions = {value}");
        }
        Ok(())
    }

    fn check_relations(&self) -> Result<()> {
        let interfaces = self.str(param::INET_INTERFACES)?;
        if interfaces != "all" && interfaces != "loopback-only" {
            for word in mail_text::list::words(&interfaces) {
                computed::addresses_of("inet_interfaces", word)?;
            }
        }
        for word in mail_text::list::words(&self.str(param::PROXY_INTERFACES)?) {
            computed::addresses_of("proxy_interfaces", word)?;
        }
        let hostname = self.str(param::MYHOSTNAME)?;
        if hostname.eq_ignore_ascii_case(&self.str(param::RELAYHOST)?) {
            return fail(format!(
                "myhostname and relayhost parameter settings must not be identical: {hostname}"
            ));
        }
        let origin = self.str(param::MYORIGIN)?;
        if origin.contains(mail_text::list::SEPARATORS) {
            return fail(format!("myorigin parameter setting must not contain multiple values: {origin}"));
        }
        self.check_verp()
    }

    fn check_verp(&self) -> Result<()> {
        let delimiters = self.str(param::DEFAULT_VERP_DELIMITERS)?;
        let filter = self.str(param::VERP_DELIMITER_FILTER)?;
        for (which, delimiter) in ["first", "second"].into_iter().zip(delimiters.chars()) {
            if !filter.contains(delimiter) {
                return fail(format!(
                    "file {}/main.cf: parameters default_verp_delimiters and verp_delimiter_filter: bad {which} VERP delimiter character",
                    self.dir().display()
                ));
            }
        }
        Ok(())
    }
}

/// What is wrong with one `name=port`.
fn port_mistake(name: &str, port: &str, seen: &[&str]) -> Option<&'static str> {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let checks = [
        (name.is_empty(), "missing service name before \"=\""),
        (port.is_empty(), "missing port value after \"=\""),
        (port.contains(char::is_whitespace), "whitespace in port number"),
        (name.contains(char::is_whitespace), "whitespace in service name"),
        (is_number(name), "numerical service name"),
        (!is_number(port), "non-numerical service port"),
        (seen.contains(&name), "duplicate service name"),
    ];
    checks.into_iter().find_map(|(wrong, tail)| wrong.then_some(tail))
}
