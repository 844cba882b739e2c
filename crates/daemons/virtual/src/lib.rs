//! The virtual delivery agent: mailboxes of users that have no account, found in lookup tables (`virtual(8)`).
//!
//! No aliases, no commands, no forwarding: one lookup for the mailbox, one for its user ID, one for its group ID.

mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use host_daemon::{Client, Privilege, SingleService, Spec, Startup, run_single};
use host_delivery::content::CopyRules;
use host_delivery::mailbox::{MboxRules, Personality, append_mbox, maildir};
use host_delivery::{Job, RecipientInfo, Via, envelope};
use mail_lookup::{AddressSearch, LookupError, MapsLookup, find_address};
use mail_status::{Detail, Dsn, Outcome};
use os_sys::identity::{Identity, Root};

use settings::Settings;

const SPEC: Spec = Spec { name: "virtual", privilege: Privilege::Keeps, ..host_delivery::SPEC };

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    run_single(&SPEC, Virtual::new)
}

struct Virtual {
    context: Arc<host_delivery::Context>,
    settings: Settings,
    root: Option<Root>,
}

/// Why there is no mailbox.
enum NoMailbox {
    Unknown,
    Table(LookupError),
    /// A table says something that cannot be used; already logged.
    Misconfigured,
}

struct Mailbox {
    path: PathBuf,
    maildir: bool,
    uid: u32,
    gid: u32,
}

impl Virtual {
    fn new(startup: &mut Startup) -> Result<Self, host_daemon::Error> {
        let (context, settings) = Settings::read(startup)?;
        Ok(Self { context: Arc::new(context), settings, root: startup.root.take() })
    }

    fn deliver(&self, job: &mut Job) {
        let via = Via::relay(self.context.service_name.clone());
        for recipient in job.recipients.clone() {
            let outcome = self.deliver_to(job, &recipient);
            job.finish(&recipient, &via, &outcome);
        }
    }

    fn deliver_to(&self, job: &mut Job, recipient: &RecipientInfo) -> Outcome {
        let key = mail_address::fold(&recipient.recipient);
        let mailbox = match self.mailbox(&key) {
            Ok(mailbox) => mailbox,
            Err(NoMailbox::Unknown) => {
                return bounced(
                    Dsn::new(5, 1, 1),
                    format!("unknown user: \"{}\"", mail_address::to_external(&key)),
                );
            }
            Err(NoMailbox::Table(error)) => {
                os_log::warning!("{}: {error}", job.request.queue_id);
                return deferred(Dsn::new(4, 3, 5), "mail system configuration error");
            }
            Err(NoMailbox::Misconfigured) => {
                return deferred(Dsn::new(4, 3, 5), "mail system configuration error");
            }
        };
        let kind = if mailbox.maildir { "maildir" } else { "mailbox" };
        if job.is_probe() {
            return Outcome::Sent(Detail::new(Dsn::new(2, 0, 0), format!("delivers to {kind}")));
        }
        let Some(identity) = self.identity(&mailbox) else {
            os_log::warning!("delivery as user ID {} needs root privileges", mailbox.uid);
            return deferred(Dsn::new(4, 3, 5), "mail system configuration error");
        };
        let written = match (&self.root, identity) {
            (Some(root), Some(identity)) => {
                root.acting_as(&identity, || self.write(job, recipient, &mailbox)).unwrap_or_else(|error| {
                    Err(Detail::new(
                        Dsn::new(4, 3, 0),
                        format!("cannot change identity: {}", os_sys::error_text(&error)),
                    ))
                })
            }
            (Some(_), None) | (None, _) => self.write(job, recipient, &mailbox),
        };
        match written {
            Ok(()) => Outcome::Sent(Detail::new(Dsn::new(2, 0, 0), format!("delivered to {kind}"))),
            Err(detail) => Outcome::from_detail(detail),
        }
    }

    /// As whom to write: `Some(None)` as this process, because it is that user; `None`: not possible without root.
    fn identity(&self, mailbox: &Mailbox) -> Option<Option<Identity>> {
        match &self.root {
            Some(_) => Some(Some(Identity { name: None, uid: mailbox.uid, gid: mailbox.gid })),
            None => (os_sys::identity::effective_uid() == mailbox.uid).then_some(None),
        }
    }

    fn write(&self, job: &mut Job, recipient: &RecipientInfo, mailbox: &Mailbox) -> Result<(), Detail> {
        let sender = job.request.sender.clone();
        let mut prefix = if mailbox.maildir { Vec::new() } else { vec![envelope::from_line(&sender)] };
        prefix.push(envelope::return_path(&sender));
        prefix.extend(envelope::original_to(recipient));
        prefix.push(envelope::delivered_to(&recipient.recipient));
        let copy = CopyRules {
            prefix,
            quote_from: !mailbox.maildir,
            final_blank: !mailbox.maildir,
            ..CopyRules::default()
        };
        if mailbox.maildir {
            return maildir(job, &mailbox.path, &copy, Personality::Virtual);
        }
        let rules = MboxRules {
            locks: &self.settings.locks,
            personality: Personality::Virtual,
            owner: self.settings.strict_ownership.then_some(mailbox.uid),
            refuse_executable: false,
            give_to: None,
            regular_only: true,
        };
        append_mbox(job, &mailbox.path, &rules, &copy).map_err(|detail| Detail {
            reason: format!("delivery failed to mailbox {}: {}", mailbox.path.display(), detail.reason),
            ..detail
        })
    }

    fn mailbox(&self, key: &str) -> Result<Mailbox, NoMailbox> {
        let Some(name) = self.find(&self.settings.mailboxes, key)? else { return Err(NoMailbox::Unknown) };
        let path = format!("{}/{name}", self.settings.base);
        if Path::new(&path).components().any(|part| part == std::path::Component::ParentDir) {
            os_log::warning!("recipient {key}: path '{path}' is not allowed");
            return Err(NoMailbox::Misconfigured);
        }
        let uid =
            self.number(&self.settings.uids, key, "virtual_uid_maps", "uid", self.settings.minimum_uid)?;
        let gid = self.number(&self.settings.gids, key, "virtual_gid_maps", "gid", 1)?;
        Ok(Mailbox { maildir: path.ends_with('/'), path: PathBuf::from(path), uid, gid })
    }

    fn number(
        &self,
        maps: &dyn MapsLookup,
        key: &str,
        parameter: &str,
        what: &str,
        minimum: u32,
    ) -> Result<u32, NoMailbox> {
        let Some(text) = self.find(maps, key)? else {
            os_log::warning!("recipient {key}: not found in {parameter}");
            return Err(NoMailbox::Misconfigured);
        };
        match text.parse::<u32>() {
            Ok(number) if number >= minimum => Ok(number),
            Ok(_) | Err(_) => {
                os_log::warning!("recipient {key}: bad {what} {text} in {parameter}");
                Err(NoMailbox::Misconfigured)
            }
        }
    }

    fn find(&self, maps: &dyn MapsLookup, key: &str) -> Result<Option<String>, NoMailbox> {
        let settings = &self.settings;
        let domain = mail_address::split(key).1.unwrap_or_default();
        let search = AddressSearch {
            delimiters: &self.context.recipient_delimiter,
            owner_request_special: settings.owner_request_special,
            domain_is_local: settings.is_local(domain).map_err(NoMailbox::Table)?,
        };
        Ok(find_address(maps, key, &search).map_err(NoMailbox::Table)?.map(|(value, _)| value))
    }
}

impl SingleService for Virtual {
    fn serve(&mut self, client: Client) {
        host_delivery::serve(&self.context, client, &mut |job| self.deliver(job));
    }

    fn tables_changed(&self) -> Option<String> {
        self.settings.changed()
    }
}

fn bounced(dsn: Dsn, text: impl Into<String>) -> Outcome {
    Outcome::Bounced(Detail::new(dsn, text))
}

fn deferred(dsn: Dsn, text: impl Into<String>) -> Outcome {
    Outcome::Deferred(Detail::new(dsn, text))
}
