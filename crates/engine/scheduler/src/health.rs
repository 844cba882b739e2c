//! The health of destinations and transports: feedback, death, suspension, revival.

use crate::scheduler::Scheduler;
use crate::state::{Destination, DestinationId, Entry, Health, Wake};
use crate::{Action, Report, Time, TransportId, Verdict};

impl Scheduler {
    /// Lets the outcome work on the window of the destination. Gives its transport.
    pub(crate) fn feedback(&mut self, now: Time, entry: &Entry, report: &Report) -> Option<TransportId> {
        let destination = self.destinations.get_mut(&entry.destination)?;
        let transport = &mut self.transports[destination.transport.0];
        let (rules, delay) = (transport.limits.concurrency, transport.limits.destination_rate_delay);
        let id = destination.transport;
        let mut died = None;
        match (report, &destination.health) {
            (Report::Reached, Health::Alive) => destination.window.succeeded(&rules, destination.busy),
            (Report::Reached, Health::Dead { .. }) => {
                destination.health = Health::Alive;
                destination.window.revive(&rules, destination.busy);
            }
            (Report::Unusable(reason), Health::Alive) => {
                if destination.window.failed(&rules) == Verdict::Dead {
                    died = Some(reason.as_str());
                }
            }
            (Report::Unusable(_), Health::Dead { .. }) | (Report::AgentLost, _) => {}
        }
        transport.busy = transport.busy.saturating_sub(1);
        destination.busy = destination.busy.saturating_sub(1);
        destination.last_done = Some(now);
        if !delay.is_zero() {
            destination.asleep_until = Some(now + delay);
            self.set_timer(now + delay, Wake::EndSleep(entry.destination));
        }
        if let Some(reason) = died {
            self.kill_destination(now, entry.destination, reason);
        }
        self.refresh(entry.destination);
        self.drop_idle(entry.destination);
        Some(id)
    }

    pub(crate) fn end_sleep(&mut self, now: Time, id: DestinationId) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        if destination.asleep_until.is_some_and(|until| until <= now) {
            destination.asleep_until = None;
        }
        let transport = destination.transport;
        self.refresh(id);
        self.drop_idle(id);
        self.pump(now, transport);
    }

    fn kill_destination(&mut self, now: Time, id: DestinationId, reason: &str) {
        let until = now + self.limits.destination_retry;
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        destination.health = Health::Dead { until, reason: reason.into() };
        self.set_timer(until, Wake::ReviveDestination(id));
        self.refresh(id);
        self.suspend(now, id, reason);
    }

    pub(crate) fn kill_transport(&mut self, now: Time, id: TransportId, reason: &str) {
        if self.transports[id.0].health != Health::Alive {
            return;
        }
        let until = now + self.limits.transport_retry;
        self.transports[id.0].health = Health::Dead { until, reason: reason.into() };
        self.set_timer(until, Wake::ReviveTransport(id));
        let all: Vec<_> = self.transports[id.0].destinations.values().copied().collect();
        for destination in all {
            self.suspend(now, destination, reason);
            self.drop_idle(destination);
        }
    }

    /// Hands all waiting entries of a destination over to `retry`.
    fn suspend(&mut self, now: Time, id: DestinationId, reason: &str) {
        while let Some(&(_, job)) = self.destinations.get(&id).and_then(|d| d.jobs.first()) {
            let Some(entry) = self.take_entry(job, id) else { break };
            let Some(Entry { recipients, .. }) = self.entries.remove(&entry) else { break };
            let Some((message, from)) = self.jobs.get(&job).map(|j| (j.message, j.transport)) else { break };
            let key = reason.to_lowercase();
            if from == self.retry || self.why_dead(self.retry, &key).is_some() {
                self.uncount_recipients(now, job, recipients.len());
                self.actions.push_back(Action::Defer(message, recipients, reason.to_owned()));
            } else {
                let to = self.destination(self.retry, &key, reason);
                self.count_recipients(message, self.retry, recipients.len());
                self.uncount_recipients(now, job, recipients.len());
                self.enqueue(now, message, to, recipients);
            }
            self.after_selection(job);
            self.retire(job);
            self.check_drained(message);
        }
        self.refresh(id);
        self.pump(now, self.retry);
    }

    pub(crate) fn revive_transport(&mut self, now: Time, id: TransportId) {
        self.transports[id.0].health = Health::Alive;
        self.pump(now, id);
    }

    pub(crate) fn revive_destination(&mut self, id: DestinationId) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        if destination.health != Health::Alive {
            let rules = self.transports[destination.transport.0].limits.concurrency;
            destination.health = Health::Alive;
            destination.window.revive(&rules, destination.busy);
        }
        self.refresh(id);
        self.drop_idle(id);
    }

    /// A destination lives only as long as it has work or something to remember.
    fn drop_idle(&mut self, id: DestinationId) {
        let idle = |d: &Destination| {
            d.busy == 0 && d.waiting == 0 && d.health == Health::Alive && d.asleep_until.is_none()
        };
        if self.destinations.get(&id).is_some_and(idle)
            && let Some(gone) = self.destinations.remove(&id)
        {
            self.transports[gone.transport.0].destinations.remove(&gone.key);
        }
    }
}
