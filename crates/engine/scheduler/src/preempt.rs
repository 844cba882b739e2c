//! Which entry goes next: jobs in their order, destinations of a job in rotation, and small jobs in front of large ones.

use crate::state::{DestinationId, Job, JobId};
use crate::{EntryId, Scheduler, Time, TransportId};

/// Jobs of one size that are looked at when a preempting one is sought; the oldest are the best of their size.
const CANDIDATES_PER_SIZE: usize = 4;
/// Sizes that are looked at.
const SIZES: usize = 64;

impl Scheduler {
    /// Takes the next entry of a transport.
    pub(crate) fn select(&mut self, now: Time, id: TransportId) -> Option<EntryId> {
        let (job, _) = self.first_ready(id)?;
        if let Some((candidate, needed)) = self.preempting(now, id, job) {
            self.put_in_front(candidate, job, needed);
        }
        let (job_id, destination) = self.first_ready(id)?;
        let entry = self.take_entry(job_id, destination);
        if let Some(job) = self.jobs.get_mut(&job_id) {
            job.available += 1;
            job.used += 1;
        }
        self.refresh(destination);
        entry
    }

    fn first_ready(&self, id: TransportId) -> Option<(JobId, DestinationId)> {
        let &(_, _, destination) = self.transports[id.0].ready.first()?;
        let &(_, job) = self.destinations.get(&destination)?.jobs.first()?;
        Some((job, destination))
    }

    /// The job that shall go in front of `current`, and the number of entries that it needs.
    fn preempting(&self, now: Time, id: TransportId, current: JobId) -> Option<(JobId, u32)> {
        let transport = &self.transports[id.0];
        let (limits, job) = (&transport.limits, self.jobs.get(&current)?);
        let cost = i64::from(limits.slot_cost);
        let size = i64::from(job.read) + self.unread(job);
        if cost < 2 || job.available <= 0 || size < i64::from(limits.minimum_slots) * cost {
            return None;
        }
        let most = (i64::from(job.read) - i64::from(job.selected) + job.available) / cost;
        let most = u32::try_from(most).ok().filter(|&most| most > 0)?;
        let (needed, candidate, _) = transport
            .candidates
            .range(1..=most)
            .take(SIZES)
            .flat_map(|(&needed, jobs)| {
                jobs.iter().take(CANDIDATES_PER_SIZE).map(move |&(_, job)| (needed, job))
            })
            .filter_map(|(needed, id)| Some((needed, id, self.worth(now, id, job)?)))
            .max_by(|a, b| a.2.total_cmp(&b.2))?;
        let earned = job.available / cost + i64::from(limits.slot_loan);
        let price = i64::from(needed) * (100 - i64::from(limits.slot_discount)) / 100;
        (earned >= price).then_some((candidate, needed))
    }

    /// How much a job deserves to go first: its age for each of its recipients; `None` when it must not.
    fn worth(&self, now: Time, id: JobId, current: &Job) -> Option<f64> {
        let job = self.jobs.get(&id)?;
        let ready = |d: &DestinationId| self.destinations.get(d).is_some_and(|d| d.room() > 0);
        if job.order <= current.order || job.children > 0 || !job.peers.keys().any(ready) {
            return None;
        }
        let age = now.saturating_sub(job.queued).as_secs_f64() + 1.0;
        let size = u32::try_from(i64::from(job.read) + self.unread(job)).unwrap_or(u32::MAX);
        Some(age / f64::from(size.max(1)))
    }

    fn unread(&self, job: &Job) -> i64 {
        self.messages.get(&job.message).map_or(0, |m| i64::from(m.unread))
    }

    /// Moves a job directly in front of another, if there is room left in the order there.
    fn put_in_front(&mut self, id: JobId, current: JobId, needed: u32) {
        let Some((transport_id, at, slot_cost)) = self
            .jobs
            .get(&current)
            .map(|j| (j.transport, j.order, i64::from(self.transports[j.transport.0].limits.slot_cost)))
        else {
            return;
        };
        let transport = &mut self.transports[transport_id.0];
        let before = transport.order.range(..at).next_back().map_or(0, |(&order, _)| order);
        let place = before + (at - before) / 2;
        if place == before || place == at {
            return;
        }
        if let Some(job) = self.jobs.get_mut(&current) {
            job.available -= i64::from(needed) * slot_cost;
            job.children += 1;
        }
        self.reindex(current);
        self.move_job(id, place);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.used = 0;
            job.parent = Some((current, needed));
        }
        self.grant_extra(id);
        self.reindex(id);
    }

    fn move_job(&mut self, id: JobId, place: u128) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let old = std::mem::replace(&mut job.order, place);
        let transport = &mut self.transports[job.transport.0];
        transport.order.remove(&old);
        transport.order.insert(place, id);
        let peers: Vec<_> = job.peers.keys().copied().collect();
        for peer in peers {
            if let Some(destination) = self.destinations.get_mut(&peer) {
                destination.jobs.remove(&(old, id));
                destination.jobs.insert((place, id));
            }
            self.refresh(peer);
        }
    }

    /// A preempting job that is not fully read gets extra slots, so that it can go on.
    fn grant_extra(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(message) = self.messages.get_mut(&job.message) else { return };
        if message.unread == 0 {
            return;
        }
        let transport = &mut self.transports[job.transport.0];
        let extra = ((i64::from(transport.limits.extra_recipient_limit) + transport.pool + 1) / 2).max(0);
        transport.pool -= extra;
        job.slots += extra;
        message.limit += extra;
    }

    /// Keeps a job at its place among the candidates, by the number of entries that it still needs.
    pub(crate) fn reindex(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let needed = i64::from(job.read) - i64::from(job.selected) + self.unread(job);
        let wants = !job.peers.is_empty() && job.children == 0 && job.parent.is_none() && needed > 0;
        let key = wants.then(|| (u32::try_from(needed).unwrap_or(u32::MAX), job.queued));
        let (old, transport) = (job.indexed, job.transport);
        if old == key {
            return;
        }
        let candidates = &mut self.transports[transport.0].candidates;
        if let Some((size, queued)) = old
            && let Some(set) = candidates.get_mut(&size)
        {
            set.remove(&(queued, id));
            if set.is_empty() {
                candidates.remove(&size);
            }
        }
        if let Some((size, queued)) = key {
            candidates.entry(size).or_default().insert((queued, id));
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.indexed = key;
        }
    }

    /// After an entry left the job: a job with nothing left to hand out steps back from the front.
    pub(crate) fn after_selection(&mut self, id: JobId) {
        self.reindex(id);
        let done = |job: &Job| job.selected == job.read && self.unread(job) == 0;
        if !self.jobs.get(&id).is_some_and(done) {
            return;
        }
        self.settle_parent(id);
    }

    /// What a preempting job used beyond what it was to need, its parent pays.
    fn settle_parent(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some((parent, needed)) = job.parent.take() else { return };
        let (used, cost) = (job.used, i64::from(self.transports[job.transport.0].limits.slot_cost));
        if let Some(parent) = self.jobs.get_mut(&parent) {
            parent.available -= (i64::from(used) - i64::from(needed)) * cost;
            parent.children = parent.children.saturating_sub(1);
        }
        self.reindex(parent);
    }

    /// Removes a job that has nothing left at all.
    pub(crate) fn retire(&mut self, id: JobId) {
        let over = |job: &Job| job.selected == job.read && job.busy == 0 && self.unread(job) == 0;
        if !self.jobs.get(&id).is_some_and(over) {
            return;
        }
        if let Some(message) = self.jobs.get(&id).map(|job| (job.message, job.transport))
            && let Some(owner) = self.messages.get_mut(&message.0)
        {
            owner.jobs.remove(&message.1);
        }
        self.drop_job(id);
    }

    pub(crate) fn drop_job(&mut self, id: JobId) {
        self.settle_parent(id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.peers.clear();
        }
        self.reindex(id);
        let Some(job) = self.jobs.remove(&id) else { return };
        let transport = &mut self.transports[job.transport.0];
        transport.order.remove(&job.order);
        transport.unread.remove(&(job.message, id));
        transport.pool += job.slots;
        if let Some(message) = self.messages.get_mut(&job.message) {
            message.limit -= job.slots;
        }
        if let Some(&(next_message, next)) = transport.unread.first() {
            let slots = std::mem::take(&mut transport.pool).max(0);
            if let (Some(job), Some(message)) =
                (self.jobs.get_mut(&next), self.messages.get_mut(&next_message))
            {
                job.slots += slots;
                message.limit += slots;
            }
        }
    }
}
