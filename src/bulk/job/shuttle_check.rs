//! The core of a job under a model checker: every wait, wake-up and lock of the consumer, of up to two
//! workers and of two drivers, in thousands of interleavings, for jobs of up to six items with all
//! that can happen to them, and for others who come for turns of the same workers.
//!
//! A wait never times out here (see [`sync`](super::sync)): a job that would be saved by the
//! consumer's next look at the clock fails as a deadlock.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release --no-default-features --lib shuttle
//! ```

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, PoisonError},
};

use shuttle::{
    Config, Runner,
    rand::{Rng as _, thread_rng},
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler},
    thread,
};

use crate::{
    bulk::{
        CancelToken,
        job::{
            Job,
            crew::{Crew, Launch},
            feed::{Feed, Side},
            intake::FallibleItems,
        },
        settings::{OnError, Settings},
        stages::{Plain, Stages},
        sync::{
            Condvar, Mutex, MutexGuard,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    },
    error::{Error, ErrorKind, ItemError, Result, Stage},
    inference::{Hints, Inference, Pipeline, Slots},
    threads::turns::{Member, Turns, Workers},
};

const MOST_ITEMS: usize = 6;

/// What an item does on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Fine,
    Unread,
    Unprepared,
    PanicsPreparing,
    Fails,
    SpoilsItsChunk,
    PanicsRunning,
    PanicsFinishing,
}

const FATES: [Fate; 8] = [
    Fate::Fine,
    Fate::Unread,
    Fate::Unprepared,
    Fate::PanicsPreparing,
    Fate::Fails,
    Fate::SpoilsItsChunk,
    Fate::PanicsRunning,
    Fate::PanicsFinishing,
];

impl Fate {
    fn stage(self, steps: bool) -> Option<Stage> {
        match self {
            Fate::Fine => None,
            Fate::Unread => Some(Stage::Read),
            Fate::Unprepared | Fate::PanicsPreparing => steps.then_some(Stage::Prepare),
            Fate::PanicsFinishing => steps.then_some(Stage::Finish),
            Fate::Fails | Fate::SpoilsItsChunk | Fate::PanicsRunning => Some(Stage::Run),
        }
    }
}

#[derive(Clone, Debug)]
struct Item {
    index: usize,
    fate: Fate,
    cost: u64,
    bytes: usize,
    prepared_bytes: usize,
}

/// How the consumer's part ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// All is taken.
    Drain,
    /// The results are dropped after that many.
    Drop(usize),
    /// Another thread cancels, at any moment.
    Cancel,
    /// The first error ends the job.
    FailFast,
}

#[derive(Clone, Debug)]
struct Scenario {
    items: Vec<Item>,
    /// Whether items have steps before and behind the model.
    steps: bool,
    ordered: bool,
    workers: usize,
    chunk: Option<usize>,
    max_cost: Option<u64>,
    window: Option<usize>,
    memory: usize,
    end: End,
    /// Whether the first worker, or the first driver, cannot run the model.
    crippled: bool,
    /// How many chunks the model wants in flight; more than one are run by drivers.
    in_flight: usize,
    /// Chunks after which it wants one only.
    settles: usize,
    /// Drivers of which the thread can be started.
    startable: usize,
    /// Items that the model asks for in the first chunk.
    first: usize,
    /// Whether others come for a turn, as a queue and as a single run.
    outsiders: [bool; 2],
}

fn random_below(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

impl Scenario {
    /// Any of them, chosen by the checker's own random numbers, so that a schedule replays it.
    fn any() -> Self {
        let mut random = thread_rng();
        let mut rarely = |often: u32| random.gen_range(0..often) == 0;
        let (steps, ordered, crippled, tight) = (!rarely(3), !rarely(3), rarely(6), !rarely(3));
        let in_flight = if rarely(3) { 2 } else { 1 };
        let startable = if rarely(4) { random_below(2) } else { 2 };
        let mut random = thread_rng();
        let count = if random.gen_range(0..2) == 0 { MOST_ITEMS } else { random.gen_range(1..=MOST_ITEMS) };
        let items = (0..count)
            .map(|index| Item {
                index,
                fate: if random.gen_range(0..4) > 0 { Fate::Fine } else { FATES[random.gen_range(0..FATES.len())] },
                cost: random.gen_range(1..4),
                bytes: random.gen_range(0..4),
                // Far apart, so that what was expected to fit does not.
                prepared_bytes: [0, 1, 2, 5, 15][random.gen_range(0..5)],
            })
            .collect();
        let end = match random.gen_range(0..8) {
            0 => End::Drop(random.gen_range(0..=count)),
            1 => End::Cancel,
            2 => End::FailFast,
            _ => End::Drain,
        };
        Self {
            items,
            steps,
            ordered,
            // One that cannot run the model needs another that can.
            workers: if crippled { 2 } else { [1, 2, 2][random_below(3)] },
            chunk: [None, Some(1), Some(2), Some(3)][random.gen_range(0..4)],
            max_cost: [None, None, Some(1), Some(4)][random.gen_range(0..4)],
            window: [None, Some(1), Some(2), Some(3)][random.gen_range(0..4)],
            memory: if tight { random.gen_range(1..16) } else { 1000 },
            end,
            crippled,
            in_flight,
            settles: [usize::MAX, usize::MAX, 1, 2][random_below(4)],
            startable,
            first: [1, 1, 2, 3][random_below(4)],
            outsiders: [random_below(3) == 0, random_below(3) == 0],
        }
    }

    /// Items whose sizes are far from what is expected, and little room: several workers stop
    /// before the end of their blocks and put back the rest.
    fn short_of_memory() -> Self {
        let mut random = thread_rng();
        let any = Self::any();
        let item = |index| Item {
            index,
            fate: Fate::Fine,
            cost: 1,
            bytes: 0,
            prepared_bytes: [0, 1, 15][random.gen_range(0..3)],
        };
        Self {
            items: (0..MOST_ITEMS).map(item).collect(),
            steps: true,
            memory: 8 + random_below(8),
            end: End::Drain,
            window: None,
            chunk: None,
            ..any
        }
    }

    fn run(&self) {
        if self.steps {
            let pipeline = Pipeline::new(Model::of(self))
                .prepare(|item: &Item| match item.fate {
                    Fate::Unprepared => Err(Error::user("unprepared").into()),
                    // Past the panic hook, which the checker takes for a failure.
                    Fate::PanicsPreparing => panic::resume_unwind(Box::new("preparing")),
                    _ => Ok(Item { bytes: item.prepared_bytes, ..item.clone() }),
                })
                .finish(|item: &Item, output| match item.fate {
                    Fate::PanicsFinishing => panic::resume_unwind(Box::new("finishing")),
                    _ => Ok(output),
                })
                .item_bytes(|item: &Item| item.bytes);
            self.run_stages(pipeline);
        } else {
            self.run_stages(Plain(Model::of(self)));
        }
    }

    fn run_stages<S: Stages<Item, Output = usize> + 'static>(&self, stages: S) {
        let cancel = CancelToken::new();
        let settings = Settings {
            chunk_size: self.chunk,
            max_chunk_cost: self.max_cost,
            window: self.window,
            memory_limit: self.memory,
            on_error: if self.end == End::FailFast { OnError::FailFast } else { OnError::default() },
            cancel: cancel.clone(),
            ..Settings::default()
        };
        let turns = Arc::new(Turns::default());
        let crew = Arc::new(Threads {
            job: Job::new(Arc::new(stages), self.workers, settings, self.ordered),
            member: turns.join(1),
            turns,
            tasks: Mutex::new(Tasks::new(self.workers)),
            changed: Condvar::new(),
            workers: self.workers,
            begun: AtomicUsize::new(0),
        });
        let workers: Vec<_> = (0..self.workers)
            .map(|worker| {
                let name = if self.crippled && worker == 0 { CRIPPLED } else { "worker" };
                let crew = Arc::clone(&crew);
                thread::Builder::new().name(name.into()).spawn(move || crew.work(worker)).expect("a thread")
            })
            .collect();
        let canceller = (self.end == End::Cancel).then(|| {
            let crew = Arc::clone(&crew);
            thread::spawn(move || {
                cancel.cancel();
                crew.job.look();
            })
        });
        let outsiders: Vec<_> = (0..2)
            .filter(|&kind| self.outsiders[kind])
            .map(|kind| {
                let crew = Arc::clone(&crew);
                thread::spawn(move || crew.come_from_outside(kind == 1))
            })
            .collect();
        let mut drivers = Vec::new();
        crew.job.start_drivers(|number| {
            if number >= self.startable {
                return Err(io::Error::other("too many threads"));
            }
            let name = if self.crippled && number == 0 { CRIPPLED } else { "driver" };
            let crew = Arc::clone(&crew);
            drivers.push(thread::Builder::new().name(name.into()).spawn(move || crew.job.drive(number, &crew))?);
            Ok(())
        });
        let source = self.items.clone().into_iter().map(|item| match item.fate {
            Fate::Unread => Err(Error::user("unread")),
            _ => Ok(item),
        });
        let mut feed = Feed::new(source);
        let most = if let End::Drop(most) = self.end { most } else { usize::MAX };
        let mut results = Vec::new();
        while results.len() < most {
            let Some(result) = feed.next(Side { job: &crew.job, intake: &FallibleItems, crew: &crew }) else { break };
            results.push(result);
        }
        // As the iterators do when they are dropped.
        crew.job.stop(None);
        drivers.into_iter().for_each(|driver| driver.join().expect("no driver panics"));
        outsiders.into_iter().for_each(|outsider| outsider.join().expect("no outsider panics"));
        crew.tasks().over = true;
        crew.changed.notify_all();
        workers.into_iter().for_each(|worker| worker.join().expect("no worker panics"));
        canceller.into_iter().for_each(|canceller| canceller.join().expect("no panic here"));
        self.judge(&results, crew.job.lock().pulled);
        if self.end == End::Drain {
            assert_eq!(crew.job.ledger.in_flight(), 0, "bytes in flight when nothing is");
        }
        assert!(crew.is_idle(), "pumps, units or lanes are left over");
    }

    /// Whether these are results that the scenario may have.
    fn judge(&self, results: &[(usize, Result<usize, ItemError>)], pulled: usize) {
        for (index, result) in results {
            let due = self.items[*index].fate.stage(self.steps).map_or(Ok(*index), Err);
            match result {
                Err(error) if self.end == End::Cancel && error.source.kind() == ErrorKind::Cancelled => {}
                Err(error) => assert_eq!((error.index, Err(error.stage)), (*index, due)),
                Ok(output) => assert_eq!(Ok(*output), due),
            }
        }
        let indices: Vec<usize> = results.iter().map(|(index, _)| *index).collect();
        if self.ordered {
            assert!(indices.iter().copied().eq(0..results.len()), "{indices:?}");
        }
        let once: BTreeSet<_> = indices.iter().collect();
        assert_eq!(once.len(), indices.len(), "an item came twice: {indices:?}");
        let all = match self.end {
            End::Drain => self.items.len(),
            End::Drop(most) => most,
            End::Cancel => pulled,
            End::FailFast => {
                let failures = results.iter().filter(|(_, result)| result.is_err()).count();
                let fail = self.items.iter().any(|item| item.fate.stage(self.steps).is_some());
                assert_eq!(failures, usize::from(fail));
                assert!(!fail || results.last().is_some_and(|(_, result)| result.is_err()));
                if fail { results.len() } else { self.items.len() }
            }
        };
        assert_eq!(results.len(), all);
    }
}

const CRIPPLED: &str = "crippled";

struct Model {
    in_flight: usize,
    settles: usize,
    first: usize,
    /// Whether the first chunk is to be alone, and calls that began and that ended.
    alone: bool,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Model {
    fn of(scenario: &Scenario) -> Self {
        let sound =
            scenario.items.iter().all(|item| item.fate != Fate::SpoilsItsChunk && item.fate != Fate::PanicsRunning);
        Self {
            in_flight: scenario.in_flight,
            settles: scenario.settles,
            first: scenario.first,
            alone: scenario.first > 1 && scenario.chunk.is_none() && sound && !scenario.crippled,
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        }
    }
}

impl Inference for Model {
    type Input = Item;
    type Output = usize;

    fn infer(&self, chunk: &[&Item], out: &mut Slots<'_, usize>) -> Result<()> {
        if !self.ready_here() {
            return Err(Error::user("no model here"));
        }
        let (begun, ended) = (self.begun.fetch_add(1, Relaxed), self.ended.load(Relaxed));
        assert!(!self.alone || begun == 0 || ended > 0, "a chunk runs beside the first one");
        for (place, item) in chunk.iter().enumerate() {
            match item.fate {
                Fate::Fails => out.fail(place, Error::user("fails")),
                Fate::SpoilsItsChunk => return Err(Error::user("spoils")),
                Fate::PanicsRunning => panic::resume_unwind(Box::new("running")),
                _ => out.set(place, item.index),
            }
        }
        self.ended.fetch_add(1, Relaxed);
        Ok(())
    }
    fn cost(&self, item: &Item) -> u64 {
        item.cost
    }
    fn input_bytes(&self, item: &Item) -> usize {
        item.bytes
    }
    fn output_bytes(&self, output: &usize) -> usize {
        *output
    }
    fn hints(&self) -> Hints {
        let in_flight = if self.ended.load(Relaxed) < self.settles { self.in_flight } else { 1 };
        Hints { first_chunk_items: self.first, in_flight, ..Hints::default() }
    }
    fn ready_here(&self) -> bool {
        thread::current().name() != Some(CRIPPLED)
    }
}

/// A pool of the checker's threads, which takes tasks in rayon's order.
struct Threads<S: Stages<I>, I> {
    job: Job<S, I>,
    turns: Arc<Turns>,
    member: Member,
    tasks: Mutex<Tasks>,
    changed: Condvar,
    workers: usize,
    /// Turns of the job that began.
    begun: AtomicUsize,
}

struct Tasks {
    /// What each worker has spawned; it takes the latest first, others steal the oldest.
    own: Vec<VecDeque<Task>>,
    /// For that worker alone.
    pinned: Vec<VecDeque<Task>>,
    /// From other threads.
    injected: VecDeque<Task>,
    over: bool,
}

enum Task {
    Lane,
    Probe,
    /// An announced turn of another member.
    Outside(Arc<Outsider>),
}

/// Somebody else who wants a turn.
struct Outsider {
    member: Member,
    /// How many turns of the job had begun when it came.
    before: AtomicUsize,
    served: Mutex<bool>,
    changed: Condvar,
}

impl Outsider {
    fn serve(&self) {
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

shuttle::thread_local! {
    /// Which worker the thread is.
    static HERE: Cell<Option<usize>> = Cell::new(None);
}

impl Tasks {
    fn new(workers: usize) -> Self {
        let empty = || (0..workers).map(|_| VecDeque::new()).collect();
        Self { own: empty(), pinned: empty(), injected: VecDeque::new(), over: false }
    }

    fn own(&mut self, worker: usize) -> Option<Task> {
        self.own[worker].pop_back().or_else(|| self.pinned[worker].pop_front())
    }

    fn any(&mut self, worker: usize) -> Option<Task> {
        let stolen = |tasks: &mut Self| tasks.own.iter_mut().find_map(VecDeque::pop_front);
        self.own(worker).or_else(|| stolen(self)).or_else(|| self.injected.pop_front())
    }
}

impl<S: Stages<I> + 'static, I: Send + 'static> Threads<S, I> {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of a worker.
    fn work(self: Arc<Self>, worker: usize) {
        HERE.with(|here| here.set(Some(worker)));
        loop {
            let mut tasks = self.tasks();
            let task = loop {
                if let Some(task) = tasks.any(worker) {
                    break task;
                }
                if tasks.over {
                    return;
                }
                tasks = self.changed.wait(tasks).unwrap_or_else(PoisonError::into_inner);
            };
            self.judge_wait(&task);
            drop(tasks);
            self.execute(task);
        }
    }

    fn execute(self: &Arc<Self>, task: Task) {
        match task {
            Task::Lane => self.turns.lane(self),
            Task::Probe => {
                if self.member.run_now(|| self.job.probe(self)) {
                    self.launch(Launch::Pump);
                }
            }
            Task::Outside(outsider) => outsider.member.run_announced(self, || false, || outsider.serve()),
        }
    }

    /// Whether a task from outside was taken as soon as the turns were over that had begun before.
    fn judge_wait(&self, task: &Task) {
        if let Task::Outside(outsider) = task {
            let since = self.begun.load(Relaxed).saturating_sub(outsider.before.load(Relaxed));
            // Those that were taken and not counted yet, and as many probes.
            assert!(since <= 2 * self.workers, "{since} turns of the job went before somebody else's");
        }
    }

    /// Comes from outside for one turn, as a queue does or as a single run does, and waits for it.
    fn come_from_outside(self: Arc<Self>, announced: bool) {
        let member = self.turns.join(8);
        let before = AtomicUsize::new(usize::MAX);
        let outsider = Arc::new(Outsider { member, before, served: Mutex::new(false), changed: Condvar::new() });
        if announced {
            outsider.member.announce();
            let mut tasks = self.tasks();
            outsider.before.store(self.begun.load(Relaxed), Relaxed);
            tasks.injected.push_back(Task::Outside(Arc::clone(&outsider)));
            drop(tasks);
            self.changed.notify_all();
        } else {
            let other = Arc::clone(&outsider);
            let turn = move || {
                other.serve();
                false
            };
            outsider.member.push(&self, Box::new(turn));
        }
        let mut served = outsider.served.lock().unwrap_or_else(PoisonError::into_inner);
        while !*served {
            served = outsider.changed.wait(served).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether nothing is left of the turns.
    fn is_idle(&self) -> bool {
        self.job.lock().is_idle() && self.turns.is_idle()
    }
}

impl<S: Stages<I> + 'static, I: Send + 'static> Workers for Arc<Threads<S, I>> {
    fn count(&self) -> usize {
        self.workers
    }

    fn spawn_lane(&self) {
        let mut tasks = self.tasks();
        match HERE.with(Cell::get) {
            Some(worker) => tasks.own[worker].push_back(Task::Lane),
            None => tasks.injected.push_back(Task::Lane),
        }
        drop(tasks);
        self.changed.notify_all();
    }

    fn run_any(&self) -> bool {
        let mut tasks = self.tasks();
        let task = HERE.with(Cell::get).and_then(|worker| tasks.any(worker));
        task.iter().for_each(|task| self.judge_wait(task));
        drop(tasks);
        task.map(|task| self.execute(task)).is_some()
    }

    fn run_own(&self) {
        let mut tasks = self.tasks();
        let task = HERE.with(Cell::get).and_then(|worker| tasks.own(worker));
        task.iter().for_each(|task| self.judge_wait(task));
        drop(tasks);
        if let Some(task) = task {
            self.execute(task);
        }
    }
}

impl<S: Stages<I> + 'static, I: Send + 'static> Crew for Arc<Threads<S, I>> {
    fn launch(&self, kind: Launch) {
        match kind {
            Launch::Pump => {
                let crew = Arc::clone(self);
                let turn = move || {
                    crew.begun.fetch_add(1, Relaxed);
                    crew.job.turn(&crew)
                };
                self.member.push(self, Box::new(turn));
            }
            Launch::Probe => {
                self.tasks().pinned.iter_mut().for_each(|pinned| pinned.push_back(Task::Probe));
                self.changed.notify_all();
            }
        }
    }

    fn contended(&self) -> bool {
        self.member.contended()
    }

    fn lend_a_hand(&self) -> bool {
        false
    }
}

std::thread_local! {
    /// The current scenario, printed when it fails.
    static UNDER_WAY: RefCell<Option<Scenario>> = const { RefCell::new(None) };
}

fn check(scheduler: impl Scheduler + 'static, scenario: impl Fn() -> Scenario + Send + Sync + 'static) {
    let mut config = Config::default();
    // It warns of weak orderings: the core's atomics are counters, and what must be seen together
    // is behind the lock.
    config.silence_warnings = true;
    let runner = Runner::new(scheduler, config);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        runner.run(move || {
            let scenario = scenario();
            UNDER_WAY.set(Some(scenario.clone()));
            scenario.run();
        })
    }));
    if let Err(payload) = outcome {
        eprintln!("{:?}", UNDER_WAY.take());
        panic::resume_unwind(payload);
    }
}

/// `GRISTMILL_FULL=1` looks ten times as long.
fn iterations(usual: usize) -> usize {
    if std::env::var_os("GRISTMILL_FULL").is_some() { usual * 10 } else { usual }
}

#[test]
fn any_job_under_random_schedules() {
    check(RandomScheduler::new_from_seed(1, iterations(30_000)), Scenario::any);
}

#[test]
fn any_job_under_schedules_with_few_preemptions() {
    for depth in 1..4 {
        check(PctScheduler::new_from_seed(depth as u64, depth, iterations(10_000)), Scenario::any);
    }
}

#[test]
fn a_job_short_of_memory() {
    check(RandomScheduler::new_from_seed(2, iterations(20_000)), Scenario::short_of_memory);
}

#[test]
fn a_small_job_under_schedules_in_order() {
    let item = |index| Item { index, fate: Fate::Fine, cost: 1, bytes: 1, prepared_bytes: 2 };
    for (memory, end) in [(3, End::Drain), (1000, End::Drain), (1000, End::Drop(1))] {
        check(DfsScheduler::new(Some(iterations(10_000)), false), move || Scenario {
            items: (0..2).map(item).collect(),
            steps: true,
            ordered: true,
            workers: 1,
            chunk: Some(1),
            max_cost: None,
            window: Some(2),
            memory,
            end,
            crippled: false,
            in_flight: 1,
            settles: usize::MAX,
            startable: 0,
            first: 1,
            outsiders: [false, memory == 3],
        });
    }
}
