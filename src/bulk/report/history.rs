//! What a job did over time, in constant memory.

use std::time::{Duration, Instant};

/// Periods that a history has at most; with more, two become one of twice the length.
const MOST: usize = 96;
/// Seconds of the first period.
const SHORTEST: f64 = 0.02;

/// What happened in one period of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::bulk) struct Period {
    /// Items that got their results; those of a chunk are spread evenly over its time.
    pub(in crate::bulk) items: f64,
    /// Seconds that workers were busy, all together.
    pub(in crate::bulk) busy: f64,
    /// The largest resident set of the process that was seen, in bytes.
    pub(in crate::bulk) memory: Option<u64>,
}

impl Period {
    fn join(self, next: Self) -> Self {
        let memory = self.memory.max(next.memory);
        Self { items: self.items + next.items, busy: self.busy + next.busy, memory }
    }
}

/// Periods of equal length, from the first pull on.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::bulk) struct History {
    since: Option<Instant>,
    /// Seconds of each period.
    length: f64,
    periods: Vec<Period>,
}

impl Default for History {
    fn default() -> Self {
        Self { since: None, length: SHORTEST, periods: Vec::new() }
    }
}

impl History {
    /// Starts the clock.
    pub(in crate::bulk) fn start(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Records a unit of work that ended `now` and `took` so long, after which `items` more have their results.
    ///
    /// `is_busy` states whether a worker did it.
    pub(in crate::bulk) fn add(&mut self, now: Instant, took: Duration, is_busy: bool, items: usize) {
        let Some(end) = self.elapsed(now) else { return };
        let took = took.as_secs_f64().min(end);
        let (begin, last) = (end - took, self.place(end));
        let first = ((begin / self.length) as usize).min(last);
        for place in first..=last {
            let from = begin.max(place as f64 * self.length);
            let to = if place == last { end } else { (place + 1) as f64 * self.length };
            let part = (to - from).max(0.0);
            let period = &mut self.periods[place];
            period.items += items as f64 * if first == last { 1.0 } else { part / took };
            period.busy += if is_busy { part } else { 0.0 };
        }
    }

    /// Records the resident set of the process.
    pub(in crate::bulk) fn memory(&mut self, now: Instant, bytes: Option<u64>) {
        let Some(elapsed) = self.elapsed(now) else { return };
        let place = self.place(elapsed);
        let memory = &mut self.periods[place].memory;
        *memory = bytes.max(*memory);
    }

    fn elapsed(&self, now: Instant) -> Option<f64> {
        Some(now.saturating_duration_since(self.since?).as_secs_f64())
    }

    /// The period that has this moment, which there is afterwards.
    fn place(&mut self, seconds: f64) -> usize {
        while seconds >= self.length * MOST as f64 {
            self.length *= 2.0;
            let join = |pair: &[Period]| pair[1..].iter().fold(pair[0], |a, b| a.join(*b));
            self.periods = self.periods.chunks(2).map(join).collect();
        }
        let place = ((seconds / self.length) as usize).min(MOST - 1);
        if self.periods.len() <= place {
            self.periods.resize(place + 1, Period::default());
        }
        place
    }

    /// The periods of a job that took `seconds`, and the seconds of each; the last may be shorter or longer by half.
    pub(in crate::bulk) fn periods(&self, seconds: f64) -> Vec<(Period, f64)> {
        let count = ((seconds / self.length).round() as usize).max(1);
        let mut periods: Vec<_> = self.periods.iter().map(|period| (*period, self.length)).collect();
        // What happened after the last result is added to the last period, as is what is too short for one of its own.
        for (period, _) in periods.split_off(count.min(periods.len())) {
            if let Some((last, _)) = periods.last_mut() {
                *last = last.join(period);
            }
        }
        if self.since.is_some() {
            periods.resize(count, (Period::default(), self.length));
            periods[count - 1].1 = seconds - (count - 1) as f64 * self.length;
        }
        periods.retain(|(_, seconds)| *seconds > 0.0);
        periods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(periods: &[(Period, f64)]) -> [f64; 3] {
        let sum = |of: fn(&(Period, f64)) -> f64| periods.iter().map(of).sum::<f64>();
        [sum(|(period, _)| period.items), sum(|(period, _)| period.busy), sum(|(_, seconds)| *seconds)]
    }

    #[test]
    fn nothing_is_lost_however_long_it_takes() {
        let start = Instant::now();
        for (unit, count) in [(0.001, 50), (0.7, 300), (40.0, 500), (9000.0, 2)] {
            let mut history = History::default();
            history.add(start, Duration::ZERO, true, 1);
            assert!(history.periods(1.0).is_empty());
            history.start(start);
            for index in 1..=count {
                let now = start + Duration::from_secs_f64(unit * f64::from(index));
                history.add(now, Duration::from_secs_f64(unit), true, 3);
                history.memory(now, Some(index as u64));
            }
            let seconds = unit * f64::from(count);
            let periods = history.periods(seconds);
            let due = [f64::from(count) * 3.0, seconds, seconds];
            for (sum, due) in sums(&periods).into_iter().zip(due) {
                assert!((sum / due - 1.0).abs() < 1e-6, "{sum} for {due}, {unit} s");
            }
            assert!(periods.len() <= MOST, "{}", periods.len());
            assert_eq!(periods.iter().filter_map(|(period, _)| period.memory).max(), Some(count as u64));
            // Even work shows as an even line.
            for (period, seconds) in &periods {
                assert!(
                    (period.busy / seconds - 1.0).abs() < 1e-3 * (1.0 + 1.0 / seconds),
                    "{period:?} in {seconds} s"
                );
            }
        }
    }

    #[test]
    fn idle_time_is_empty_and_the_end_is_shared_out() {
        let start = Instant::now();
        let mut history = History::default();
        history.start(start);
        history.add(start + Duration::from_millis(30), Duration::from_millis(30), false, 6);
        // The job ends in the second period, where it is too short for a third, and much later.
        let periods = history.periods(0.041);
        assert_eq!((periods.len(), sums(&periods)[0].round()), (2, 6.0));
        let periods = history.periods(0.4);
        assert_eq!((periods.len(), periods[10].0), (20, Period::default()));
        assert_eq!(sums(&periods)[1], 0.0);
        // A unit that ends after the last result was taken.
        assert_eq!(sums(&history.periods(0.01))[0].round(), 6.0);
    }
}
