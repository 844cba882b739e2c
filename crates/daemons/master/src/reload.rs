//! Reading main.cf and master.cf, at start and on SIGHUP.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::Instant;

use host_config::master_cf::{self, Entry, ServiceType};
use host_config::{Config, param};
use host_daemon::StressBoard;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use os_sys::identity::Root;

use crate::disable::Disabled;
use crate::endpoint::Endpoint;
use crate::service::{Service, status_pair};
use crate::startup::open_log;
use crate::supervisor::Supervisor;

/// Parameters that keep their value until master is started again.
const FIXED: &[(&str, bool)] =
    &[("config_directory", false), ("queue_directory", false), ("inet_protocols", true)];

impl Supervisor {
    /// SIGHUP.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        self.announce_reload()?;
        self.apply_config()?;
        self.apply_services()
    }

    fn announce_reload(&mut self) -> Result<(), String> {
        let mut fresh = Config::load(&self.config_directory).map_err(|error| error.0)?;
        fresh.check("master").map_err(|error| error.0)?;
        for (name, advice) in FIXED {
            self.keep_fixed(&mut fresh, name, *advice)?;
        }
        open_log(&fresh, &os_log::program_name(), false)?;
        self.config = fresh;
        self.announce("reload")
    }

    fn keep_fixed(&self, fresh: &mut Config, name: &str, advice: bool) -> Result<(), String> {
        let value = |config: &Config| -> Result<String, String> {
            let text = config.text(name).map_err(|error| error.0)?.unwrap_or_default();
            config.expand(&text).map_err(|error| error.0)
        };
        let (old, new) = (value(&self.config)?, value(fresh)?);
        if old != new {
            os_log::warning!("ignoring {name} parameter value change");
            os_log::warning!("old value: \"{old}\", new value: \"{new}\"");
            if advice {
                os_log::warning!("to change {name}, stop and start Postfix");
            }
            fresh.set(name, &old);
        }
        Ok(())
    }

    /// What all services share.
    pub(crate) fn apply_config(&mut self) -> Result<(), String> {
        let text = |parameter| self.config.str(parameter).map_err(|error: host_config::ConfigError| error.0);
        self.common.daemon_directory = text(param::DAEMON_DIRECTORY)?.into();
        self.common.quotas = self.config.bool(param::POSTINO_SESSION_QUOTA).map_err(|error| error.0)?;
        self.throttle_time = self.config.time(param::SERVICE_THROTTLE_TIME).map_err(|error| error.0)?;
        let mut env = self.config.environment(param::IMPORT_ENVIRONMENT).map_err(|error| error.0)?;
        let mut set = |name: &str, value: OsString| {
            env.retain(|(other, _)| other != name);
            if !value.is_empty() {
                env.push((name.into(), value));
            }
        };
        set("MAIL_CONFIG", self.config_directory.clone().into_os_string());
        set("MAIL_LOGTAG", text(param::SYSLOG_NAME)?.into());
        let log = self.config.log_destination().map_err(|error| error.0)?;
        let hostname = if log.postlog_socket.is_some() { log.hostname } else { String::new() };
        set("POSTLOG_SERVICE", log.postlog_socket.unwrap_or_default().into_os_string());
        set("POSTLOG_HOSTNAME", hostname.into());
        self.common.environment = env;
        Ok(())
    }

    /// Brings the services in line with master.cf.
    pub(crate) fn apply_services(&mut self) -> Result<(), String> {
        let entries = self.entries()?;
        let gone = |service: &Service| {
            !entries.iter().any(|one| one.name == service.entry.name && one.kind == service.entry.kind)
        };
        let (removed, kept) = std::mem::take(&mut self.services).into_iter().partition(gone);
        self.services = kept;
        for service in removed {
            self.remove(&service);
        }
        for entry in entries {
            self.apply_entry(entry)?;
        }
        Ok(())
    }

    /// The enabled entries; of two with the same name and type the last.
    fn entries(&self) -> Result<Vec<Entry>, String> {
        let disabled =
            Disabled::parse(&self.config.str(param::MASTER_SERVICE_DISABLE).map_err(|error| error.0)?);
        let no_network = self.config.protocols().map_err(|error| error.0)? == (false, false);
        let mut entries: Vec<Entry> = Vec::new();
        if no_network {
            let value = self.config.str(param::INET_PROTOCOLS).map_err(|error| error.0)?;
            os_log::warning!("all network protocols are disabled (inet_protocols = {value})");
            os_log::warning!("disabling all type \"inet\" services in master.cf");
        }
        for entry in master_cf::read(&self.config).map_err(|error| error.0)? {
            let is_off = disabled.matches(&entry.name, entry.kind.word());
            if is_off || (no_network && entry.kind == ServiceType::Inet) {
                continue;
            }
            let same = entries.iter_mut().find(|one| one.name == entry.name && one.kind == entry.kind);
            match same {
                Some(earlier) => {
                    let name = match Endpoint::of(&entry, &self.config) {
                        Ok(endpoint) => endpoint.internal_name(&entry),
                        Err(_) => entry.name.clone(),
                    };
                    os_log::warning!(
                        "duplicate master.cf entry for service \"{}\" ({name}) -- using the last entry",
                        entry.name
                    );
                    *earlier = entry;
                }
                None => entries.push(entry),
            }
        }
        Ok(entries)
    }

    fn apply_entry(&mut self, entry: Entry) -> Result<(), String> {
        let file = self.config_directory.join("master.cf");
        let at = |text: String| format!("{}: {}: {text}", file.display(), entry.position);
        let endpoint = Endpoint::of(&entry, &self.config).map_err(at)?;
        let default = self.config.int(param::DEFAULT_PROCESS_LIMIT).map_err(|error| error.0)?;
        let limit = match entry.process_limit {
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            None => usize::try_from(default).unwrap_or(1),
        };
        let now = Instant::now();
        let wakeup = (entry.wakeup_seconds > 0).then_some(now);
        let known =
            self.services.iter().position(|one| one.entry.name == entry.name && one.entry.kind == entry.kind);
        let Some(number) = known else {
            let sockets = self.listen(&endpoint, &entry, limit)?;
            let status = status_pair().map_err(|error| format!("socketpair: {error}"))?;
            self.services.push(Service {
                entry,
                endpoint,
                sockets,
                status,
                limit,
                epoch: 1,
                throttled_until: None,
                next_wakeup: wakeup,
                used: false,
                stress_until: None,
                stress_logged: None,
                stress_board: None,
            });
            return self.give_boards();
        };
        let fresh = match self.services.get(number) {
            Some(old) if old.endpoint != endpoint && entry.kind != ServiceType::Inet => {
                old.endpoint.remove();
                Some(self.listen(&endpoint, &entry, limit)?)
            }
            Some(_) | None => None,
        };
        let Some(service) = self.services.get_mut(number) else { return Ok(()) };
        if service.endpoint != endpoint && entry.kind == ServiceType::Inet {
            os_log::warning!("service {}: ignoring inet_interfaces change", entry.name);
            os_log::warning!("to change inet_interfaces, stop and start Postfix");
        } else {
            service.endpoint = endpoint;
        }
        if let Some(sockets) = fresh {
            service.sockets = sockets;
        }
        service.dismiss_all().map_err(|error| format!("socketpair: {error}"))?;
        (service.entry, service.limit, service.next_wakeup) = (entry, limit, wakeup);
        (service.throttled_until, service.used) = (None, false);
        self.give_boards()
    }

    /// Services that are told about stress have a board for it.
    fn give_boards(&mut self) -> Result<(), String> {
        for service in self.services.iter_mut().filter(|one| one.knows_stress() && one.stress_board.is_none())
        {
            let board = StressBoard::new().map_err(|error| format!("memfd_create: {error}"))?;
            service.stress_board = Some(board);
        }
        Ok(())
    }

    /// Creates the sockets as `mail_owner`; ports may need root.
    fn listen(&self, endpoint: &Endpoint, entry: &Entry, limit: usize) -> Result<Vec<OwnedFd>, String> {
        let default = self.config.int(param::DEFAULT_PROCESS_LIMIT).map_err(|error| error.0)?;
        let backlog = limit.max(usize::try_from(default).unwrap_or(1));
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        match (Root::claim(), &self.owner, endpoint) {
            (Some(root), Some(owner), Endpoint::Path(_)) => root
                .acting_as(owner, || endpoint.listen(entry.kind, backlog))
                .map_err(|error| format!("mail_owner: {}", os_sys::error_text(&error)))?,
            (_, _, _) => endpoint.listen(entry.kind, backlog),
        }
    }

    fn remove(&mut self, service: &Service) {
        service.endpoint.remove();
        for (pid, child) in &mut self.children {
            if child.service == service.key() {
                child.dismissed = true;
                let _ = kill(Pid::from_raw(*pid), Signal::SIGTERM);
            }
        }
    }
}
