//! The user's mailbox, and what happens to mail for nobody.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine_expand::Deed;
use host_delivery::Disposition;
use host_delivery::mailbox::{MboxRules, OpenMbox, Personality, maildir};
use mail_lookup::MapsLookup;
use mail_status::{Detail, Dsn, Outcome};
use os_sys::identity::{Identity, User};

use crate::deliver::Form;
use crate::state::State;
use crate::trip::Trip;
use crate::values::Values;

/// A mailbox file or Maildir and how it is written.
struct Place {
    path: PathBuf,
    maildir: bool,
    identity: Option<Identity>,
    /// Root creates the file and gives it to the user.
    give_to: Option<(u32, u32)>,
}

impl Trip<'_> {
    /// The mailbox step, then the steps for unknown users.
    pub(crate) fn mailbox_or_unknown(&mut self, mut state: State) -> Disposition {
        if !self.agent.settings.frozen_delivered_to {
            state.delivered.clone_from(&state.recipient.recipient);
        }
        let settings = &self.agent.settings;
        match self.transport(&state, &settings.mailbox_transport_maps, &settings.mailbox_transport) {
            Err(disposition) => return disposition,
            Ok(Some(transport)) => return self.pass(&state, &transport),
            Ok(None) => {}
        }
        match self.account(&state) {
            Err(disposition) => disposition,
            Ok(Some(user)) => self.mailbox(&state, &user),
            Ok(None) => self.unknown(&state),
        }
    }

    fn transport(
        &mut self,
        state: &State,
        maps: &dyn MapsLookup,
        fixed: &str,
    ) -> Result<Option<String>, Disposition> {
        match maps.find(&state.user, false) {
            Ok(Some(transport)) => Ok(Some(transport)),
            Ok(None) => Ok((!fixed.is_empty()).then(|| fixed.to_owned())),
            Err(error) => {
                os_log::warning!("{}: {error}", self.queue_id());
                Err(self.fail(state, Dsn::new(4, 3, 0), "table lookup failure"))
            }
        }
    }

    fn pass(&mut self, state: &State, transport: &str) -> Disposition {
        let nexthop = self.job.request.nexthop.clone();
        self.job.pass(transport, &nexthop, &state.recipient)
    }

    fn mailbox(&mut self, state: &State, user: &User) -> Disposition {
        if self.done.seen(Deed::Mailbox(state.user.clone())) {
            return Disposition::Finished;
        }
        let settings = &self.agent.settings;
        match settings.mailbox_command_maps.find(&state.user, false) {
            Ok(Some(command)) => return self.run_command(state, &command, Some(user)),
            Ok(None) => {}
            Err(error) => {
                os_log::warning!("{}: {error}", self.queue_id());
                return self.fail(state, Dsn::new(4, 3, 0), "table lookup failure");
            }
        }
        if !settings.mailbox_command.is_empty() {
            let command = settings.mailbox_command.clone();
            return self.run_command(state, &command, Some(user));
        }
        let place = match self.place(state, user) {
            Ok(place) => place,
            Err(detail) => return self.fail(state, detail.dsn, detail.reason),
        };
        let kind = if place.maildir { "maildir" } else { "mailbox" };
        if self.job.is_probe() {
            return self.sent(state, format!("delivers to {kind}"));
        }
        let size = std::fs::metadata(&place.path).map_or(0, |metadata| metadata.len());
        match self.write_mailbox(state, user, &place) {
            Ok(()) => {
                if !place.maildir && self.agent.settings.biff {
                    notify_biff(&user.name, size);
                }
                self.sent(state, format!("delivered to {kind}"))
            }
            Err(detail) => self.report(state, &Outcome::from_detail(detail)),
        }
    }

    /// `home_mailbox` or `mail_spool_directory`. In a spool directory that only root can write to, root makes the file.
    fn place(&self, state: &State, user: &User) -> Result<Place, Detail> {
        let settings = &self.agent.settings;
        if !settings.home_mailbox.is_empty() {
            let path = format!("{}/{}", user.home.display(), settings.home_mailbox);
            return Ok(Place {
                maildir: path.ends_with('/'),
                path: PathBuf::from(path),
                identity: self.user_identity(user, user.gid)?,
                give_to: None,
            });
        }
        let directory = Path::new(&settings.mail_spool_directory);
        let path = directory.join(&state.user);
        let maildir = settings.mail_spool_directory.ends_with('/');
        let (mode, gid) = std::fs::metadata(directory).map_or((0, 0), |found| (found.mode(), found.gid()));
        let as_user = self.user_identity(user, user.gid)?;
        let (identity, give_to) = if as_user.is_none() || maildir || mode & 0o002 != 0 {
            (as_user, None)
        } else if mode & 0o020 != 0 {
            (self.user_identity(user, gid)?, None)
        } else {
            (None, Some((user.uid, user.gid)))
        };
        Ok(Place { path, maildir, identity, give_to })
    }

    fn write_mailbox(&mut self, state: &State, user: &User, place: &Place) -> Result<(), Detail> {
        let settings = &self.agent.settings;
        let identity = place.identity.as_ref();
        if place.maildir {
            let copy = self.copy_rules(state, Form::Maildir, settings.prepend.file);
            return self
                .acting_as(identity, |trip| maildir(trip.job, &place.path, &copy, Personality::Local))?;
        }
        let copy = self.copy_rules(state, Form::Mbox, settings.prepend.file);
        let rules = MboxRules {
            locks: &settings.locks,
            personality: Personality::Local,
            owner: settings.strict_ownership.then_some(user.uid),
            refuse_executable: false,
            give_to: place.give_to,
            regular_only: true,
        };
        // The spool directory may want other rights than the file; what is written is the user's, also for quotas.
        let as_user = self.user_identity(user, user.gid)?;
        let written = match self.acting_as(identity, |_| OpenMbox::open(&place.path, &rules))? {
            Ok(mbox) => {
                let written = self.acting_as(as_user.as_ref(), |trip| {
                    mbox.append(trip.job, &place.path, Personality::Local, &copy)
                })?;
                self.acting_as(identity, |_| drop(mbox))?;
                written
            }
            Err(detail) => Err(detail),
        };
        written.map_err(|detail| Detail {
            reason: format!(
                "cannot update mailbox {} for user {}. {}",
                place.path.display(),
                state.user,
                detail.reason
            ),
            ..detail
        })
    }

    /// `fallback_transport`, `luser_relay`, required aliases, or nobody.
    fn unknown(&mut self, state: &State) -> Disposition {
        let settings = &self.agent.settings;
        match self.transport(state, &settings.fallback_transport_maps, &settings.fallback_transport) {
            Err(disposition) => return disposition,
            Ok(Some(transport)) => return self.pass(state, &transport),
            Ok(None) => {}
        }
        if let Some(disposition) = self.luser_relay(state) {
            return disposition;
        }
        if ["postmaster", "mailer-daemon"].contains(&state.user.as_str()) {
            os_log::warning!("required alias not found: {}", state.user);
            return self.sent(state, "discarded");
        }
        self.no_such_user(state)
    }

    fn no_such_user(&mut self, state: &State) -> Disposition {
        self.fail(state, Dsn::new(5, 1, 1), format!("unknown user: \"{}\"", state.user))
    }

    fn luser_relay(&mut self, state: &State) -> Option<Disposition> {
        let template = &self.agent.settings.luser_relay;
        if template.is_empty() {
            return None;
        }
        let values = Values { state, request: &self.job.request, user: None };
        let options = mail_text::expand::Options { recursive: false, allowed: None };
        let expanded = mail_text::expand::expand(template, options, &|name: &str| values.value(name));
        let address = match expanded {
            Ok(address) => address,
            Err(error) => {
                os_log::warning!("luser_relay: {error}");
                return Some(self.misconfigured(state));
            }
        };
        if state.recipient.recipient.eq_ignore_ascii_case(&address) {
            return Some(self.no_such_user(state));
        }
        let inner = State { unmatched: String::new(), ..state.clone() };
        Some(self.address(inner, &address))
    }
}

/// Tells the comsat service that there is new mail. Nobody minds if it does not run.
fn notify_biff(user: &str, offset: u64) {
    let Some(port) = os_sys::net::service_port("biff") else { return };
    if let Ok(socket) = std::net::UdpSocket::bind(("127.0.0.1", 0)) {
        let text = format!("{user}@{offset}\0");
        let _ = socket.send_to(text.as_bytes(), ("127.0.0.1", port));
    }
}
