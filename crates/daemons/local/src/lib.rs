//! The local delivery agent: aliases, .forward files, commands, mailboxes (`local(8)`, `aliases(5)`).
//!
//! One recipient of the queue manager's request is a [`trip::Trip`]: it expands aliases and .forward files depth first,
//! delivers to files and commands on the way, collects what belongs to other hosts or other users, and hands these back
//! to the queue at the end. A [`state::State`] is copied down the expansion, never up.

mod alias;
mod deliver;
mod dotforward;
mod forward;
mod mailbox;
mod recipient;
mod settings;
mod state;
mod trip;
mod values;

use std::process::ExitCode;
use std::sync::Arc;

use host_daemon::{Client, Error, Privilege, SingleService, Spec, Startup, run_single};
use host_delivery::{Context, Job};
use os_sys::identity::Root;

use settings::Settings;
use trip::Trip;

const SPEC: Spec = Spec { name: "local", privilege: Privilege::Keeps, ..host_delivery::SPEC };

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    run_single(&SPEC, Local::new)
}

/// The agent.
pub(crate) struct Local {
    pub(crate) context: Arc<Context>,
    pub(crate) settings: Settings,
    pub(crate) root: Option<Root>,
}

impl Local {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let root = startup.root.take();
        let (context, settings) = Settings::read(startup, root.is_some())?;
        Ok(Self { context: Arc::new(context), settings, root })
    }

    fn deliver(&self, job: &mut Job) {
        let seen = match job.delivered_to() {
            Ok(seen) => seen,
            Err(error) => {
                if error.is_corrupt() {
                    job.mark_corrupt(&error.to_string());
                } else {
                    os_log::warning!("{}: {error}", job.request.queue_id);
                    job.note_remaining();
                }
                return;
            }
        };
        for recipient in job.recipients.clone() {
            Trip::new(self, job, &recipient, &seen).run();
        }
    }
}

impl SingleService for Local {
    fn serve(&mut self, client: Client) {
        host_delivery::serve(&self.context, client, &mut |job| self.deliver(job));
    }

    fn tables_changed(&self) -> Option<String> {
        self.settings.changed()
    }
}
