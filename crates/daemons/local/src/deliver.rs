//! Delivery to `|command` and `/file` destinations.

use std::path::{Path, PathBuf};

use engine_expand::Deed;
use host_delivery::command::{self, Program, Rules};
use host_delivery::content::CopyRules;
use host_delivery::mailbox::{LockStyle, MboxRules, Personality, append_mbox, maildir};
use host_delivery::{Disposition, envelope};
use mail_status::{Detail, Dsn, Outcome};
use os_sys::identity::User;

use crate::state::{Rights, State};
use crate::trip::Trip;
use crate::values::Values;

/// How the copy in a mailbox differs from the one that a command gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// From_ line, quoting, empty line at the end.
    Mbox,
    /// Neither From_ line nor quoting.
    Maildir,
    /// From_ line only.
    Command,
}

impl Trip<'_> {
    /// The message as this recipient gets it.
    pub(crate) fn copy_rules(&self, state: &State, form: Form, delivered_to: bool) -> CopyRules {
        let sender = &self.job.request.sender;
        let mut prefix = if form == Form::Maildir { Vec::new() } else { vec![envelope::from_line(sender)] };
        prefix.push(envelope::return_path(sender));
        prefix.extend(envelope::original_to(&state.recipient));
        if delivered_to {
            prefix.push(envelope::delivered_to(&state.delivered));
        }
        let mbox = form == Form::Mbox;
        CopyRules { prefix, quote_from: mbox, final_blank: mbox, ..CopyRules::default() }
    }

    /// `|command` of an alias, .forward or include file.
    pub(crate) fn command(&mut self, state: &State, line: &str) -> Disposition {
        let settings = &self.agent.settings;
        if !settings.commands_allowed.has(state.source) {
            return self.fail(state, Dsn::new(5, 7, 1), "mail to command is restricted");
        }
        let uid = state.uid(&settings.default_identity);
        if self.done.seen(Deed::Command(line.to_owned(), uid)) {
            return Disposition::Finished;
        }
        let user = match &state.rights {
            Rights::User(user) => Some(user.clone()),
            Rights::Default => None,
        };
        self.run_command(state, line, user.as_ref())
    }

    /// Runs a command for the recipient; also for `mailbox_command`.
    pub(crate) fn run_command(&mut self, state: &State, line: &str, user: Option<&User>) -> Disposition {
        if self.job.is_probe() {
            return self.sent(state, format!("delivers to command: {line}"));
        }
        let rights = user.map_or(Rights::Default, |user| Rights::User(user.clone()));
        let identity = match self.identity(&rights) {
            Ok(identity) => identity,
            Err(detail) => return self.fail(state, detail.dsn, detail.reason),
        };
        let settings = &self.agent.settings;
        let values = Values { state, request: &self.job.request, user };
        let directory = match values.expand(&settings.command_directory, Some(&settings.directory_filter)) {
            Ok(directory) => directory.filter(|path| !path.is_empty()).map(PathBuf::from),
            Err(error) => {
                os_log::warning!("command_execution_directory: {error}");
                return self.misconfigured(state);
            }
        };
        let rules = Rules {
            identity,
            environment: values.environment(&settings.command_filter, &settings.exported),
            directory,
            chroot: None,
            time_limit: settings.command_time_limit,
            copy: self.copy_rules(state, Form::Command, settings.prepend.command),
        };
        let program = Program::Line { line: line.to_owned(), shell: settings.shell.clone() };
        let (outcome, _) = command::run(self.job, &program, &rules);
        match outcome {
            Outcome::Sent(detail) => {
                let reason = format!("delivered to command: {line}");
                self.report(state, &Outcome::Sent(Detail { reason, ..detail }))
            }
            Outcome::Deferred(_) | Outcome::Bounced(_) => self.report_to_owner(state, &outcome),
        }
    }

    /// `/file` of an alias, .forward or include file; a trailing `/` means a Maildir.
    pub(crate) fn file(&mut self, state: &State, name: &str) -> Disposition {
        let settings = &self.agent.settings;
        let path = match (name.strip_prefix("~/"), &state.rights) {
            (None, _) => name.to_owned(),
            (Some(rest), Rights::User(user)) => format!("{}/{rest}", user.home.display()),
            (Some(_), Rights::Default) => {
                os_log::warning!("bad home directory for file destination {name}");
                return self.misconfigured(state);
            }
        };
        if !settings.files_allowed.has(state.source) {
            return self.fail(state, Dsn::new(5, 7, 1), "mail to file is restricted");
        }
        if self.done.seen(Deed::File(path.clone(), state.uid(&settings.default_identity))) {
            return Disposition::Finished;
        }
        if self.job.is_probe() {
            return self.sent(state, format!("delivers to file: {path}"));
        }
        let identity = match self.identity(&state.rights) {
            Ok(identity) => identity,
            Err(detail) => return self.fail(state, detail.dsn, detail.reason),
        };
        let written = if path.ends_with('/') {
            let copy = self.copy_rules(state, Form::Maildir, settings.prepend.file);
            self.acting_as(identity.as_ref(), |trip| {
                maildir(trip.job, Path::new(&path), &copy, Personality::Local)
            })
            .and_then(|result| result)
        } else {
            let copy = self.copy_rules(state, Form::Mbox, settings.prepend.file);
            let locks = LockStyle { dotlock_optional: true, ..settings.locks.clone() };
            let rules = MboxRules {
                locks: &locks,
                personality: Personality::Local,
                owner: None,
                refuse_executable: true,
                give_to: None,
                regular_only: false,
            };
            self.acting_as(identity.as_ref(), |trip| append_mbox(trip.job, Path::new(&path), &rules, &copy))
                .and_then(|result| {
                    result.map_err(|detail| Detail {
                        reason: format!("cannot append message to file {path}: {}", detail.reason),
                        ..detail
                    })
                })
        };
        match written {
            Ok(()) if path.ends_with('/') => self.sent(state, "delivered to maildir"),
            Ok(()) => self.sent(state, format!("delivered to file: {path}")),
            Err(detail) if path.ends_with('/') => self.report(state, &Outcome::from_detail(detail)),
            Err(detail) => self.report_to_owner(state, &Outcome::from_detail(detail)),
        }
    }
}
