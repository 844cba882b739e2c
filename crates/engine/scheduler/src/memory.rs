//! Recipients in memory: how many of a message may be read, and the transports' pools of slots.

use std::collections::HashMap;

use crate::state::{Job, JobId, Wake};
use crate::{Action, MessageId, Scheduler, Time, TransportId};

impl Scheduler {
    /// How many recipients the next batch of the message may have; at least 1.
    #[must_use]
    pub fn read_allowance(&self, id: MessageId) -> usize {
        let Some(message) = self.messages.get(&id) else { return 0 };
        let most = if message.fresh {
            let free = i64::from(self.limits.recipients) - i64::try_from(self.recipients).unwrap_or(i64::MAX);
            free.max(i64::from(self.limits.message_minimum))
        } else {
            message.limit - i64::from(message.count)
        };
        usize::try_from(most.clamp(1, i64::from(self.limits.batch.max(1)))).unwrap_or(1)
    }

    /// The job of a message for a transport; a new one takes the whole unused pool.
    pub(crate) fn job(&mut self, message_id: MessageId, transport_id: TransportId) -> JobId {
        if let Some(&id) = self.messages.get(&message_id).and_then(|m| m.jobs.get(&transport_id)) {
            return id;
        }
        let id = JobId(self.fresh_id());
        let Some(message) = self.messages.get_mut(&message_id) else { return id };
        let transport = &mut self.transports[transport_id.0];
        let slots = transport.pool.max(0);
        transport.pool -= slots;
        message.limit += slots;
        message.jobs.insert(transport_id, id);
        let order = u128::from(message_id.0) << 64;
        transport.order.insert(order, id);
        transport.unread.insert((message_id, id));
        self.jobs.insert(
            id,
            Job {
                message: message_id,
                transport: transport_id,
                queued: message.queued,
                order,
                peers: HashMap::new(),
                read: 0,
                selected: 0,
                busy: 0,
                recipients: 0,
                slots,
                available: 0,
                used: 0,
                rotation: 0,
                parent: None,
                children: 0,
                indexed: None,
            },
        );
        id
    }

    /// Counts recipients that came into memory.
    pub(crate) fn count_recipients(&mut self, message: MessageId, transport: TransportId, number: usize) {
        let job = self.job(message, transport);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.recipients += number;
        }
        if let Some(message) = self.messages.get_mut(&message) {
            message.count += number;
        }
        self.recipients += u64::from(number);
    }

    /// Counts recipients that are done.
    pub(crate) fn uncount_recipients(&mut self, now: Time, job_id: JobId, number: usize) {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let Some(job) = self.jobs.get_mut(&job_id) else { return };
        job.recipients = job.recipients.saturating_sub(number);
        let message_id = job.message;
        self.recipients = self.recipients.saturating_sub(u64::from(number));
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.count = message.count.saturating_sub(number);
        if message.unread == 0 {
            self.return_slots(job_id);
        } else {
            self.consider_refill(now, message_id);
        }
    }

    /// After a batch: gives slots back when the message is read to its end, else sees to the next batch.
    pub(crate) fn account_batch(&mut self, now: Time, id: MessageId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let jobs: Vec<_> = message.jobs.values().copied().collect();
        if message.unread > 0 {
            self.arm_refill(now, id);
            return;
        }
        for job in jobs {
            self.return_slots(job);
            self.retire(job);
        }
    }

    /// Slots that a fully read job cannot use any more go to the next job that can.
    fn return_slots(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let spare = job.slots - i64::from(job.recipients);
        let transport = &mut self.transports[job.transport.0];
        transport.unread.remove(&(job.message, id));
        if spare <= 0 {
            return;
        }
        job.slots -= spare;
        transport.pool += spare;
        if let Some(message) = self.messages.get_mut(&job.message) {
            message.limit -= spare;
        }
        let Some(&(next_message, next)) = transport.unread.first() else { return };
        let slots = std::mem::take(&mut transport.pool).max(0);
        if let (Some(job), Some(message)) = (self.jobs.get_mut(&next), self.messages.get_mut(&next_message)) {
            job.slots += slots;
            message.limit += slots;
        }
    }

    fn arm_refill(&mut self, now: Time, id: MessageId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if message.refill_armed {
            return;
        }
        message.refill_armed = true;
        let delays = message.jobs.keys().map(|t| self.transports[t.0].limits.refill_delay);
        let delay = delays.min().unwrap_or(Time::from_secs(5)).max(Time::from_secs(1));
        self.set_timer(now + delay, Wake::Refill(id));
    }

    pub(crate) fn refill_due(&mut self, now: Time, id: MessageId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.refill_armed = false;
        if message.unread > 0 {
            self.consider_refill(now, id);
            self.arm_refill(now, id);
        }
    }

    /// Asks for the next batch when there is room for enough, or the last one was long ago, or nothing is left to hand out.
    pub(crate) fn consider_refill(&mut self, now: Time, id: MessageId) {
        let Some(message) = self.messages.get(&id) else { return };
        let room = message.limit - i64::from(message.count);
        if message.reading || message.unread == 0 || message.count == 0 || room <= 0 {
            return;
        }
        let due = message.jobs.iter().any(|(transport, job)| {
            let limits = &self.transports[transport.0].limits;
            room >= i64::from(limits.refill_limit)
                || now.saturating_sub(message.last_read) >= limits.refill_delay
                || self.jobs.get(job).is_some_and(|job| job.peers.is_empty())
        });
        if due {
            let most = self.read_allowance(id);
            if let Some(message) = self.messages.get_mut(&id) {
                message.reading = true;
            }
            self.actions.push_back(Action::Read(id, most));
        }
    }
}
