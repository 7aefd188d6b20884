//! Whose turn it is on a pool: fair queueing by the time that each member has used.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::threads::sync::atomic::AtomicBool;

/// How long a member that has nothing to do still counts as one that others make way for.
const RECENT: Duration = Duration::from_secs(1);
/// How far a member that could not use its share may stay behind it.
const MOST_CREDIT: Duration = Duration::from_millis(100);
/// The least time that a turn is charged, so that turns too short to measure alternate too.
const LEAST_CHARGE: Duration = Duration::from_micros(1);

/// One turn of a pump each time it is called; returns whether it wants another.
pub(crate) type Pump = Box<dyn FnMut() -> bool + Send>;

/// What a worker is to do next.
pub(crate) enum Due {
    /// Run this pump of the member with this number.
    Pump(u64, Pump),
    /// Let rayon run a task of its own: it holds the turn that is due.
    Announced,
    /// Nothing waits.
    Nothing,
}

/// A job, a queue or the single runs, as a user of the pool.
struct Member {
    number: u64,
    /// Its share of the pool while several members want turns.
    weight: f64,
    /// Nanoseconds used, divided by `weight`.
    used: f64,
    /// Pumps that wait for a turn.
    pumps: VecDeque<Pump>,
    /// Turns that wait in rayon's own queues.
    announced: usize,
    /// Turns that are running.
    running: usize,
    /// Orders members that have used the same: lower ones have waited longer.
    since: u64,
    /// When it last had something to do.
    seen: Option<Instant>,
    /// Whether others want turns too, as its pumps see it.
    contended: Arc<AtomicBool>,
}

impl Member {
    fn waits(&self) -> bool {
        self.announced > 0 || !self.pumps.is_empty()
    }

    fn is_active(&self) -> bool {
        self.running > 0 || self.waits()
    }
}

/// The members of a pool and what they have used.
#[derive(Default)]
pub(crate) struct State {
    members: Vec<Member>,
    /// Members so far.
    numbers: u64,
    /// Events so far, which order members.
    events: u64,
    /// What a member that always had its share would have used: members that were idle start from
    /// here.
    level: f64,
    /// Rayon tasks that run pumps, waiting or running.
    pub(crate) lanes: usize,
}

impl State {
    /// Adds a member with this share; returns its number.
    pub(crate) fn join(&mut self, weight: u32, contended: Arc<AtomicBool>) -> u64 {
        self.numbers += 1;
        self.members.push(Member {
            number: self.numbers,
            weight: f64::from(weight.max(1)),
            used: self.level,
            pumps: VecDeque::new(),
            announced: 0,
            running: 0,
            since: 0,
            seen: None,
            contended,
        });
        self.numbers
    }

    /// Removes a member; its pumps are returned, to be dropped outside the lock.
    pub(crate) fn leave(&mut self, number: u64) -> Option<VecDeque<Pump>> {
        let place = self.place(number)?;
        Some(self.members.swap_remove(place).pumps)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.members.iter().position(|member| member.number == number)
    }

    /// A member that is about to wait; one that was idle gets no credit for it.
    fn wake(&mut self, number: u64) -> Option<&mut Member> {
        let place = self.place(number)?;
        self.events += 1;
        let member = &mut self.members[place];
        if !member.is_active() {
            member.used = member.used.max(self.level);
        }
        if !member.waits() {
            member.since = self.events;
        }
        Some(member)
    }

    /// Lets a pump wait for a turn; one whose member is gone is returned.
    pub(crate) fn push(&mut self, number: u64, pump: Pump) -> Option<Pump> {
        let Some(member) = self.wake(number) else { return Some(pump) };
        member.pumps.push_back(pump);
        None
    }

    /// Counts a turn that waits in rayon's own queues.
    pub(crate) fn announce(&mut self, number: u64) {
        if let Some(member) = self.wake(number) {
            member.announced += 1;
        }
    }

    /// Whether any pump waits.
    pub(crate) fn has_pumps(&self) -> bool {
        self.members.iter().any(|member| !member.pumps.is_empty())
    }

    /// The member whose turn it is, among those that are `wanted`: the one that has used least for
    /// its share; of several, the one with the largest share; of these, the one that waits longest.
    fn due(&self, wanted: impl Fn(&Member) -> bool) -> Option<usize> {
        let waiting = self.members.iter().enumerate().filter(|(_, member)| wanted(member));
        let order = |a: &Member, b: &Member| {
            a.used.total_cmp(&b.used).then(b.weight.total_cmp(&a.weight)).then(a.since.cmp(&b.since))
        };
        waiting.min_by(|(_, a), (_, b)| order(a, b)).map(|(place, _)| place)
    }

    /// Begins a turn of the member at `place`.
    fn begin_at(&mut self, place: usize, now: Instant) {
        self.events += 1;
        let active = |other: &Member| {
            other.is_active() || other.seen.is_some_and(|seen| now.saturating_duration_since(seen) < RECENT)
        };
        let contended = self.members.iter().enumerate().any(|(other, member)| other != place && active(member));
        let least = self.level - MOST_CREDIT.as_nanos() as f64;
        let member = &mut self.members[place];
        member.running += 1;
        member.since = self.events;
        member.contended.store(contended, Relaxed);
        member.used = member.used.max(least);
        // Members that want less than their share leave the rest to the others.
        self.level = self.level.max(member.used);
    }

    /// Takes the turn that is due, or the pump that is due if `announced` turns cannot be reached.
    pub(crate) fn next(&mut self, announced: bool, now: Instant) -> Due {
        let Some(place) = self.due(|member| if announced { member.waits() } else { !member.pumps.is_empty() }) else {
            return Due::Nothing;
        };
        self.take_at(place, now)
    }

    /// Takes a pump of this member, if one waits.
    pub(crate) fn take(&mut self, number: u64, now: Instant) -> Due {
        match self.place(number).filter(|&place| !self.members[place].pumps.is_empty()) {
            Some(place) => self.take_at(place, now),
            None => Due::Nothing,
        }
    }

    fn take_at(&mut self, place: usize, now: Instant) -> Due {
        let Some(pump) = self.members[place].pumps.pop_front() else { return Due::Announced };
        self.begin_at(place, now);
        Due::Pump(self.members[place].number, pump)
    }

    /// Begins an announced turn of this member if it is due, or in any case if it is `forced`.
    pub(crate) fn begin_announced(&mut self, number: u64, forced: bool, now: Instant) -> bool {
        let Some(place) = self.place(number) else { return true };
        if !forced && self.due(Member::waits).is_some_and(|due| due != place) {
            return false;
        }
        self.members[place].announced -= 1;
        self.begin_at(place, now);
        true
    }

    /// Begins a turn that did not wait.
    pub(crate) fn begin(&mut self, number: u64, now: Instant) {
        if let Some(member) = self.wake(number) {
            // Its place is known to exist.
            let number = member.number;
            if let Some(place) = self.place(number) {
                self.begin_at(place, now);
            }
        }
    }

    /// Ends a turn that began at `started`, and charges its member for it.
    pub(crate) fn end(&mut self, number: u64, started: Instant, now: Instant) {
        let took = now.saturating_duration_since(started).max(LEAST_CHARGE).as_nanos() as f64;
        // Otherwise members that come for one turn each would always find themselves behind one
        // that stays.
        let weights: f64 = self.members.iter().filter(|member| member.is_active()).map(|member| member.weight).sum();
        self.level += took / weights.max(1.0);
        let Some(place) = self.place(number) else { return };
        let member = &mut self.members[place];
        member.used += took / member.weight;
        member.running -= 1;
        member.seen = Some(now);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    /// Runs turns of the given lengths in turns until `end`; how often each member had its turn.
    fn turns(members: &[(u32, u64)], end: Duration) -> Vec<u32> {
        let start = Instant::now();
        let (mut state, mut now) = (State::default(), start);
        let numbers: Vec<u64> = members.iter().map(|&(weight, _)| state.join(weight, Arc::default())).collect();
        let mut counts = vec![0; members.len()];
        numbers.iter().for_each(|&number| drop(state.push(number, Box::new(|| true))));
        while now - start < end {
            let Due::Pump(number, pump) = state.next(true, now) else { panic!("somebody waits") };
            let place = numbers.iter().position(|&other| other == number).unwrap();
            let began = now;
            now += Duration::from_millis(members[place].1);
            counts[place] += 1;
            drop(state.push(number, pump));
            state.end(number, began, now);
        }
        counts
    }

    #[test]
    fn equal_shares_are_equal_times() {
        let counts = turns(&[(1, 20), (1, 1)], Duration::from_secs(4));
        assert!((98..=102).contains(&counts[0]) && (1960..=2040).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn a_share_is_a_part_of_the_time() {
        let counts = turns(&[(3, 2), (1, 2)], Duration::from_secs(4));
        assert!((1490..=1510).contains(&counts[0]) && (490..=510).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn who_was_idle_is_next_and_gets_no_credit() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut state = State::default();
        let (bulk, queue) = (state.join(1, Arc::default()), state.join(8, Arc::default()));
        drop(state.push(bulk, Box::new(|| true)));
        for turn in 0..10 {
            let Due::Pump(number, pump) = state.next(true, at(turn)) else { panic!("a pump waits") };
            assert_eq!(number, bulk);
            drop(state.push(number, pump));
            state.end(number, at(turn), at(turn + 1));
        }
        drop(state.push(queue, Box::new(|| true)));
        // Eight turns of the queue at most, of the same length, before the next of the job.
        let mut order = Vec::new();
        for turn in 10..30 {
            let Due::Pump(number, pump) = state.next(true, at(turn)) else { panic!("pumps wait") };
            order.push(number);
            drop(state.push(number, pump));
            state.end(number, at(turn), at(turn + 1));
        }
        assert_eq!(order[0], queue);
        let jobs = order.iter().filter(|&&number| number == bulk).count();
        assert!((1..=3).contains(&jobs), "{order:?}");
    }

    #[test]
    fn members_that_come_for_one_turn_each_leave_the_others_their_share() {
        let start = Instant::now();
        let mut state = State::default();
        let stays = state.join(1, Arc::default());
        drop(state.push(stays, Box::new(|| true)));
        let mut turns = 0;
        for turn in 0..100 {
            let passes = state.join(1, Arc::default());
            drop(state.push(passes, Box::new(|| false)));
            let now = start + Duration::from_millis(turn);
            let Due::Pump(number, pump) = state.next(true, now) else { panic!("pumps wait") };
            if number == stays {
                turns += 1;
                drop(state.push(number, pump));
            }
            state.end(number, now, now + Duration::from_millis(1));
            drop(state.leave(passes));
        }
        assert!((30..=70).contains(&turns), "{turns}");
    }

    #[test]
    fn an_announced_turn_begins_when_it_is_due_or_forced() {
        let now = Instant::now();
        let mut state = State::default();
        let (one, two) = (state.join(1, Arc::default()), state.join(1, Arc::default()));
        state.announce(one);
        state.announce(two);
        assert!(!state.begin_announced(two, false, now));
        assert!(matches!(state.next(true, now), Due::Announced));
        assert!(matches!(state.next(false, now), Due::Nothing));
        assert!(state.begin_announced(two, true, now) && state.begin_announced(one, false, now));
        state.end(one, now, now);
        assert!(matches!(state.next(true, now), Due::Nothing));
    }
}
