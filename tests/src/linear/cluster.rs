//! What the clients ask: mains over one store, each with its workers, and what befalls them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::proxy::{Door, Line, Proxy};
use crate::cluster::{Place, Worker};
use crate::random::Random;
use crate::server::Server;
use crate::start::Start;

/// How long a worker is ill, in milliseconds: long enough for its main to give it up, or not.
const ILL_MILLIS: std::ops::Range<u64> = 500..5_000;
/// How long it is until the next one falls ill, at most.
const PEACE_MILLIS_MAX: u64 = 600;

/// What is asked, and how it is started.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) program: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) mains: usize,
    pub(super) workers: usize,
    pub(super) staff: Staff,
    pub(super) worker_arguments: Vec<String>,
}

/// Whose workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staff {
    /// Each main has workers of its own.
    Own,
    /// Each worker works for every main.
    Shared,
}

/// What befell them, how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Befell {
    /// Workers that were killed and started again.
    pub killed: u32,
    /// Workers that stood still for a while.
    pub paused: u32,
    /// Workers that were cut off, in silence or not.
    pub cut_off: u32,
    /// Mains that were killed and started again.
    pub mains_killed: u32,
}

/// What is wrong with a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Illness {
    Dead,
    Paused,
    CutOff(Line),
}

/// What happens to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misfortune {
    Worker(Illness),
    MainDies,
}

/// Everything that happens, before anything happens again.
const DECK: [Misfortune; 9] = {
    use Misfortune::{MainDies, Worker};
    const fn silent(up: bool, down: bool) -> Misfortune {
        Worker(Illness::CutOff(Line::Silent { up, down }))
    }
    [
        MainDies,
        Worker(Illness::Dead),
        Worker(Illness::Dead),
        Worker(Illness::Paused),
        Worker(Illness::Paused),
        Worker(Illness::CutOff(Line::Broken)),
        silent(true, true),
        silent(true, false),
        silent(false, true),
    ]
};

struct Main {
    start: Start,
    server: Server,
    rest: Door,
    grpc: Door,
}

struct Hand {
    start: Start,
    /// The mains that it works for, and its line to each.
    lines: Vec<(usize, Proxy)>,
    worker: Option<Worker>,
    ill: Option<(Illness, Instant)>,
}

/// Everything that runs; what is dropped first comes first.
pub(super) struct Cluster {
    hands: Vec<Hand>,
    mains: Vec<Main>,
    random: Random,
    /// What happens next, the last one first.
    deck: Vec<Misfortune>,
    befell: Befell,
}

impl Cluster {
    /// Starts all of it.
    pub(super) fn new(wanted: &Wanted, seed: u64) -> Self {
        let place = Place::new(&wanted.program.to_string_lossy(), &wanted.directory);
        let (random, befell) = (Random::new(seed), Befell::default());
        let mut cluster = Self { hands: Vec::new(), mains: Vec::new(), random, deck: Vec::new(), befell };
        for number in 0..wanted.mains {
            // Enough to see what happened, and no more than a machine can write beside its work.
            let start = place.main().variable("RUST_LOG", "info");
            let start = start.variable("DELTADB_DATA_DIR", wanted.directory.join(format!("main-{number}")));
            let start = if wanted.mains > 1 { start.arg("--multi-main") } else { start };
            let server = start.up();
            let main = Main { start, server, rest: Door::default(), grpc: Door::default() };
            main.open();
            cluster.mains.push(main);
        }
        let all: Vec<usize> = (0..wanted.mains).collect();
        let employers: Vec<&[usize]> = match wanted.staff {
            Staff::Own => all.chunks(1).collect(),
            Staff::Shared => vec![&all],
        };
        for mains in employers {
            (0..wanted.workers).for_each(|number| cluster.hire(&place, mains, number, wanted));
        }
        cluster
    }

    /// Starts a worker of these mains.
    fn hire(&mut self, place: &Place, mains: &[usize], number: usize, wanted: &Wanted) {
        let line = |main: &usize| Some((*main, Proxy::to(&self.mains.get(*main)?.grpc)));
        let lines: Vec<_> = mains.iter().filter_map(line).collect();
        let addresses: Vec<_> = lines.iter().map(|(_, proxy)| proxy.address().to_string()).collect();
        let id = format!("m{}w{number}", mains.first().copied().unwrap_or_default());
        let start = place.worker_without_token(&id, &addresses.join(",")).arg("--join-token-file").arg(place.token());
        let start = wanted.worker_arguments.iter().fold(start.variable("RUST_LOG", "info"), Start::arg);
        let mut hand = Hand { start, lines, worker: None, ill: None };
        hand.begin(&self.mains);
        self.hands.push(hand);
    }

    /// Where the mains listen, whichever process it is.
    pub(super) fn doors(&self) -> Vec<Door> {
        self.mains.iter().map(|main| main.rest.clone()).collect()
    }

    /// Has things happen until then, and mends all.
    pub(super) fn trouble(&mut self, until: Instant) -> Befell {
        let mut next = Instant::now();
        while Instant::now() < until {
            self.heal(Instant::now());
            if Instant::now() >= next {
                self.strike();
                next = Instant::now() + Duration::from_millis(self.random.below(PEACE_MILLIS_MAX));
            }
            // Not a wait for something: how exactly the moments of the schedule are met.
            std::thread::sleep(Duration::from_millis(5));
        }
        self.heal(until + Duration::from_secs(3_600));
        self.befell
    }

    /// The next thing happens, to somebody who is well; one worker of each main stays well.
    fn strike(&mut self) {
        if self.deck.is_empty() {
            self.deck = DECK.to_vec();
            (1..self.deck.len()).rev().for_each(|at| self.deck.swap(at, self.random.index(at + 1)));
        }
        let illness = match self.deck.last() {
            Some(Misfortune::Worker(illness)) => *illness,
            _ => {
                self.deck.pop();
                return self.kill_main();
            }
        };
        let at = self.random.index(self.hands.len());
        let Some(main) = self.hands.get(at).map(Hand::first_main) else { return };
        let well = self.hands.iter().filter(|hand| hand.first_main() == main && hand.ill.is_none()).count();
        let Some(hand) = self.hands.get_mut(at).filter(|hand| well > 1 && hand.ill.is_none()) else { return };
        self.deck.pop();
        match illness {
            Illness::Dead => {
                self.befell.killed += 1;
                hand.worker.take().into_iter().for_each(|worker| drop(worker.kill()));
            }
            Illness::Paused => {
                self.befell.paused += 1;
                hand.worker.iter().for_each(Worker::pause);
            }
            Illness::CutOff(line) => {
                self.befell.cut_off += 1;
                // From one of its mains, and now and then from each.
                let only = self.random.index(hand.lines.len() + 1);
                let is_cut = |at: usize| at == only || only == hand.lines.len();
                hand.lines.iter().enumerate().filter(|(at, _)| is_cut(*at)).for_each(|(_, (_, proxy))| proxy.set(line));
            }
        }
        let length = Duration::from_millis(ILL_MILLIS.start + self.random.below(ILL_MILLIS.end - ILL_MILLIS.start));
        hand.ill = Some((illness, Instant::now() + length));
    }

    /// Ends every illness whose time has come.
    fn heal(&mut self, now: Instant) {
        for hand in &mut self.hands {
            let Some((illness, _)) = hand.ill.filter(|(_, end)| *end <= now) else { continue };
            match illness {
                Illness::Dead => hand.begin(&self.mains),
                Illness::Paused => hand.worker.iter().for_each(Worker::wake),
                Illness::CutOff(_) => hand.lines.iter().for_each(|(_, proxy)| proxy.set(Line::Open)),
            }
            hand.ill = None;
        }
    }

    /// Kills a main and starts it again, on other ports.
    fn kill_main(&mut self) {
        let at = self.random.index(self.mains.len());
        let Some(main) = self.mains.get_mut(at) else { return };
        self.befell.mains_killed += 1;
        // Nobody is to find a stranger on a port that was given away meanwhile.
        main.rest.set(None);
        main.grpc.set(None);
        main.server.crash();
        main.server = main.start.up();
        main.open();
    }
}

impl Hand {
    /// Whose it is, for counting those who are well.
    fn first_main(&self) -> usize {
        self.lines.first().map_or(0, |(main, _)| *main)
    }

    /// Starts it, once it has been killed.
    fn begin(&mut self, mains: &[Main]) {
        let main = mains.get(self.first_main()).expect("its main");
        self.worker = Some(Worker::up(&self.start, &main.server));
    }
}

impl Main {
    fn open(&self) {
        self.rest.set(Some(self.server.address()));
        self.grpc.set(Some(self.server.grpc_address()));
    }
}
