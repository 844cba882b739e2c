//! The delivery agent skeleton: requests, per-recipient outcomes, logging, mailboxes and commands.
