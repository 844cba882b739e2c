//! Answers the questions of a session.

use std::io;
use std::sync::Arc;

use engine_restrict::{Evaluator, Facts, State, Verdict};
use host_daemon::{Cx, Token};
use proto_smtp::server::{Answer, Question, Session};

use crate::notice;
use crate::queue::Queue;
use crate::services::Services;
use crate::world::Scene;

/// What belongs to one session beside its protocol state.
pub(crate) struct Backend {
    pub services: Arc<Services>,
    /// Restriction state; `None` until the first decision, so that an idle session costs nothing.
    pub state: Option<Box<State>>,
    /// The open queue file.
    pub queue: Option<Box<Queue>>,
    /// What an answer waits for.
    pub pending: Option<Pending>,
    /// The `service:address` under which anvil knows this connection.
    pub ident: Option<Box<str>>,
    /// anvil has been told of the connection, and must be told of its end.
    pub counted: bool,
    /// Not a network client: no access checks (`sendmail -bs`).
    pub local: bool,
    pub greeted: bool,
}

/// What cleanup must do before a question can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Give the new queue file a name.
    Id,
    /// Take the content that was written.
    Room,
    /// Say what became of the message.
    Verdict,
}

/// Which list is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Client,
    Helo,
    Sender,
    Recipient,
    Etrn,
    Data,
    EndOfData,
}

/// The data of a decision that are not in the session yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given<'a> {
    /// The client, when the session does not have its names yet.
    pub client: Option<&'a proto_smtp::server::Client>,
    pub helo: Option<&'a str>,
    pub sender: Option<&'a str>,
    pub recipient: Option<&'a str>,
    pub etrn: Option<&'a str>,
}

impl Backend {
    pub fn new(services: Arc<Services>, local: bool) -> Self {
        Self {
            services,
            state: None,
            queue: None,
            pending: None,
            ident: None,
            counted: false,
            local,
            greeted: false,
        }
    }

    /// Whether the answer may take time: names, servers, other daemons. (What cleanup takes is not waited for.)
    pub fn may_block(&self, session: &Session) -> bool {
        if self.pending.is_some() {
            // Only a connection to a cleanup whose queue of clients was full.
            return self.queue.is_none();
        }
        let Services { quick, limits, standalone, .. } = &*self.services;
        let counted = |limit: i64| self.ident.is_some() && limit > 0;
        match session.question() {
            None | Some(Question::Abort) => false,
            Some(Question::Notices) => true,
            Some(Question::Connect) => {
                !self.local && !crate::connect::is_quick(&self.services, session.client())
            }
            Some(Question::Etrn(_)) => true,
            Some(Question::Content) => *standalone,
            Some(Question::End) => *standalone || !quick.end_of_data,
            Some(Question::Rcpt(command)) => {
                *standalone
                    || counted(limits.recipients)
                    || command.fault.is_none() && !self.services.judges_quickly(&command.recipient)
            }
            Some(Question::Vrfy(address, _)) => {
                counted(limits.recipients)
                    || address.as_ref().is_some_and(|address| !self.services.judges_quickly(address))
            }
            Some(Question::Mail(_)) => counted(limits.messages) || !quick.lists || !quick.senders,
            Some(Question::Helo(_) | Question::Data) => !quick.lists,
        }
    }

    /// Whether the end of the session may take time.
    pub fn may_block_at_end(&self) -> bool {
        self.counted
    }

    /// Answers the session's question; `None`: not yet, because cleanup has something to say first.
    pub fn answer(&mut self, session: &mut Session, may_block: bool) -> Option<Answer> {
        if let Some(pending) = self.pending {
            return self.go_on(session, pending, may_block);
        }
        // The question is small; a copy of it frees the session for `take_block`.
        Some(match session.question().cloned() {
            None => Answer::Accept,
            Some(Question::Connect) => self.connect(session),
            Some(Question::Helo(name)) => {
                self.decide(session, Stage::Helo, Given { helo: Some(&name), ..Given::default() })
            }
            Some(Question::Mail(command)) => self.mail(session, &command),
            Some(Question::Rcpt(command)) => return self.rcpt(session, &command, may_block),
            Some(Question::Vrfy(address, _)) => self.vrfy(session, address.as_deref()),
            Some(Question::Etrn(domain)) => self.etrn(session, &domain),
            Some(Question::Data) => self.decide(session, Stage::Data, Given::default()),
            Some(Question::Content) => return self.content(session),
            Some(Question::End) => return self.end(session),
            Some(Question::Abort) => {
                self.forget_message();
                Answer::Accept
            }
            Some(Question::Notices) => {
                notice::send(&self.services, session);
                Answer::Accept
            }
        })
    }

    /// Has the event loop tell when what the session waits for is there.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn watch(&mut self, cx: &mut Cx) -> io::Result<Option<Token>> {
        let for_room = self.pending == Some(Pending::Room);
        match &mut self.queue {
            Some(queue) if self.pending.is_some() => queue.watch(cx, for_room).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// What the session waits for has not come in time; `false`: it waits for nothing.
    pub fn give_up(&mut self) -> bool {
        if let Some(queue) = &mut self.queue
            && self.pending.is_some()
        {
            queue.give_up();
            return true;
        }
        false
    }

    /// The session is over.
    pub fn disconnected(&mut self, _session: &Session) {
        self.forget_message();
        if std::mem::take(&mut self.counted)
            && let Some(ident) = &self.ident
        {
            self.services.anvil.disconnect(ident);
        }
    }

    /// Gives the open queue file and all that access tables wanted done with it up.
    pub fn forget_message(&mut self) {
        (self.pending, self.queue) = (None, None);
        if let Some(state) = &mut self.state {
            state.effects = engine_restrict::Effects::default();
        }
    }

    /// Evaluates the lists of a stage.
    pub fn verdict(&mut self, session: &Session, stage: Stage, given: Given<'_>) -> Verdict {
        let services = Arc::clone(&self.services);
        let mut scene = Scene::new(&services, session, given);
        let client = scene.client();
        let transaction = session.transaction();
        let one = transaction.and_then(|t| t.only_recipient.as_deref());
        let facts = Facts {
            client: &client,
            helo: given.helo.or_else(|| session.helo()),
            sender: given.sender.or_else(|| transaction.map(|t| t.mail.sender.as_str())),
            recipient: given.recipient.or(one.filter(|_| stage != Stage::Recipient)),
            etrn: given.etrn,
            recipients: transaction.map_or(0, |t| t.recipients) + u32::from(stage == Stage::Recipient),
            pipelined: session.pipelined(),
            has_message: matches!(stage, Stage::Sender | Stage::Recipient | Stage::Data | Stage::EndOfData),
            at_end_of_data: stage == Stage::EndOfData,
        };
        let state = self.state.get_or_insert_with(Box::default);
        let mut evaluator = Evaluator::new(&services.policy, facts, &mut scene, state);
        match stage {
            Stage::Client => evaluator.client(),
            Stage::Helo => evaluator.helo(),
            Stage::Sender => evaluator.sender(),
            Stage::Recipient => evaluator.recipient(),
            Stage::Etrn => evaluator.etrn(),
            Stage::Data => evaluator.data(),
            Stage::EndOfData => evaluator.end_of_data(),
        }
    }

    pub fn decide(&mut self, session: &Session, stage: Stage, given: Given<'_>) -> Answer {
        if self.local {
            return Answer::Accept;
        }
        match self.verdict(session, stage, given) {
            Verdict::Accept => Answer::Accept,
            Verdict::Reject(text, cause) => Answer::Reply(notice::rejection(text, cause)),
            Verdict::Hangup => Answer::Hangup,
        }
    }
}
