//! The delivery agent that pipes mail to commands (`pipe(8)`). Each master.cf entry is a transport of its own, with the
//! command and its options in its arguments.

mod arguments;
mod expand;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use host_config::{Config, Suffix, param};
use host_daemon::{Client, Error, Privilege, SingleService, Spec, Startup, run_single};
use host_delivery::command::{self, Program, Rules};
use host_delivery::content::CopyRules;
use host_delivery::{Context, Job, Via, envelope};
use host_tables::TableContext;
use mail_status::{Action, Detail, Dsn, Outcome};
use os_sys::identity::{self, Identity, Root};

use arguments::Arguments;
use expand::Message;

const SPEC: Spec =
    Spec { name: "pipe", privilege: Privilege::Keeps, takes_arguments: true, ..host_delivery::SPEC };

/// Bytes of a command's output that the log shows after a success.
const OUTPUT_SHOWN: usize = 100;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    run_single(&SPEC, Pipe::new)
}

struct Pipe {
    context: Arc<Context>,
    arguments: Arguments,
    identity: Option<Identity>,
    environment: Vec<(OsString, OsString)>,
    time_limit: Duration,
    owner_request_special: bool,
}

impl Pipe {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let config = &startup.config;
        let arguments = Arguments::parse(&startup.arguments)?;
        let context = Context::new(startup, &TableContext::new(config)?, param::PIPE_DELIVERY_STATUS_FILTER)?;
        Ok(Self {
            identity: command_identity(&arguments, config, startup.root.as_ref())?,
            environment: environment(&config.str(param::EXPORT_ENVIRONMENT)?),
            time_limit: config.service_time(&startup.service_name, Suffix::TimeLimit)?,
            owner_request_special: config.bool(param::OWNER_REQUEST_SPECIAL)?,
            context: Arc::new(context),
            arguments,
        })
    }

    fn deliver(&self, job: &mut Job) {
        let via = Via::relay(self.context.service_name.clone());
        let success = if self.arguments.flags.is_final { Action::Delivered } else { Action::Relayed };
        let outcome = self.outcome(job);
        for recipient in job.recipients.clone() {
            job.finish_as(&recipient, &via, &outcome, success);
        }
    }

    /// All recipients share the fate of the command.
    fn outcome(&self, job: &mut Job) -> Outcome {
        let flags = self.arguments.flags;
        let service = &self.context.service_name;
        for (wanted, letter) in [(flags.delivered_to, 'D'), (flags.original_to, 'O')] {
            if wanted && job.recipients.len() > 1 {
                os_log::warning!("pipe flag `{letter}' requires {service}_destination_recipient_limit = 1");
                return Outcome::Deferred(Detail::new(Dsn::new(4, 3, 5), "mail system configuration error"));
            }
        }
        if self.arguments.size > 0 && job.request.size > self.arguments.size {
            return Outcome::Bounced(Detail::new(Dsn::new(5, 2, 3), "message too large"));
        }
        if let Some(outcome) = self.loops(job) {
            return outcome;
        }
        let message = Message {
            arguments: &self.arguments,
            request: &job.request,
            recipients: &job.recipients,
            delimiters: &self.context.recipient_delimiter,
            owner_request_special: self.owner_request_special,
        };
        let argv = match message.argv() {
            Ok(argv) => argv,
            Err(unknown) => {
                os_log::warning!("unknown macro name or bad macro syntax: {}", unknown.0);
                return Outcome::Deferred(Detail::new(Dsn::new(4, 3, 5), "mail system configuration error"));
            }
        };
        if job.is_probe() {
            let text = format!("delivers to command: {}", argv.first().map_or("", String::as_str));
            return Outcome::Sent(Detail::new(Dsn::new(2, 0, 0), text));
        }
        let rules = self.rules(job);
        let (outcome, output) = command::run(job, &Program::Argv(argv), &rules);
        match outcome {
            Outcome::Sent(detail) => Outcome::Sent(Detail { reason: self.success(&output), ..detail }),
            Outcome::Deferred(_) | Outcome::Bounced(_) => outcome,
        }
    }

    fn success(&self, output: &str) -> String {
        let service = &self.context.service_name;
        if output.is_empty() {
            return format!("delivered via {service} service");
        }
        let shown: String = output.chars().take(OUTPUT_SHOWN).collect::<String>();
        let shown = shown.trim_end();
        format!("delivered via {service} service ({shown})")
    }

    /// Flag `D`: the message has been here before.
    fn loops(&self, job: &mut Job) -> Option<Outcome> {
        if !self.arguments.flags.delivered_to {
            return None;
        }
        let recipient = job.recipients.first()?.recipient.clone();
        match job.delivered_to() {
            Ok(seen) if seen.contains(&mail_address::fold(&recipient)) => Some(Outcome::Bounced(
                Detail::new(Dsn::new(5, 4, 6), format!("mail forwarding loop for {recipient}")),
            )),
            Ok(_) => None,
            Err(error) => {
                if error.is_corrupt() {
                    job.mark_corrupt(&error.to_string());
                }
                Some(Outcome::Deferred(Detail::new(
                    Dsn::new(4, 3, 0),
                    format!("error reading message: {error}"),
                )))
            }
        }
    }

    fn rules(&self, job: &Job) -> Rules {
        Rules {
            identity: self.identity.clone(),
            environment: self.environment.clone(),
            directory: self.arguments.directory.clone(),
            chroot: self.arguments.chroot.clone(),
            time_limit: self.time_limit,
            copy: self.copy_rules(job),
        }
    }

    fn copy_rules(&self, job: &Job) -> CopyRules {
        let flags = self.arguments.flags;
        let sender = match job.request.sender.as_str() {
            "" => self.arguments.null_sender.as_str(),
            sender => sender,
        };
        let mut prefix = Vec::new();
        if flags.from_line {
            prefix.push(envelope::from_line(sender));
        }
        if flags.return_path {
            prefix.push(envelope::return_path(sender));
        }
        let recipient = job.recipients.first();
        if flags.original_to {
            prefix.extend(recipient.and_then(envelope::original_to));
        }
        if flags.delivered_to {
            prefix.extend(recipient.map(|recipient| envelope::delivered_to(&recipient.recipient)));
        }
        CopyRules {
            prefix,
            quote_from: flags.quote_from,
            quote_dot: flags.quote_dot,
            eol: self.arguments.eol.clone(),
            final_blank: flags.final_blank,
        }
    }
}

impl SingleService for Pipe {
    fn serve(&mut self, client: Client) {
        host_delivery::serve(&self.context, client, &mut |job| self.deliver(job));
    }
}

/// PATH, and what `export_environment` lets through or sets.
fn environment(export: &str) -> Vec<(OsString, OsString)> {
    let mut environment = host_delivery::command::exported(export);
    environment.push(("PATH".into(), "/usr/bin:/bin".into()));
    environment
}

/// `user=`: never root, never the mail system's own identity. An ordinary user runs commands as itself.
fn command_identity(
    arguments: &Arguments,
    config: &Config,
    root: Option<&Root>,
) -> Result<Option<Identity>, Error> {
    let name = &arguments.user;
    let user = identity::user_by_name(name)?;
    let user = user.ok_or_else(|| format!("unknown username: {name}"))?;
    if root.is_none() {
        if user.uid != identity::effective_uid() {
            return Err(format!("running commands as user {name} needs root privileges").into());
        }
        return Ok(None);
    }
    let gid = match &arguments.group {
        Some(group) => identity::group_by_name(group)?.ok_or_else(|| format!("unknown group: {group}"))?,
        None => user.gid,
    };
    if user.uid == 0 {
        return Err(format!("user= command-line attribute specifies root privileges: {name}").into());
    }
    if gid == 0 {
        return Err("user= command-line attribute specifies root group privileges".into());
    }
    let owner = config.str(param::MAIL_OWNER)?;
    if identity::user_by_name(&owner)?.is_some_and(|owner| owner.uid == user.uid) {
        return Err(format!("user= command-line attribute specifies mail system owner {owner}").into());
    }
    let postdrop = config.str(param::SETGID_GROUP)?;
    if identity::group_by_name(&postdrop)? == Some(gid) {
        return Err(format!("user= command-line attribute specifies mail system group {postdrop}").into());
    }
    let supplementary = arguments.group.is_none().then(|| user.name.clone());
    Ok(Some(Identity { name: supplementary, uid: user.uid, gid }))
}
