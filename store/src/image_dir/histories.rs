//! Whatever pods do with an image directory, in any order and however late, it comes to the same on a volume and in a bucket; and in a
//! bucket also when requests go wrong, or a pod dies at any of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::memory::InMemory;
use proptest::prelude::*;

use crate::backend::bucket::faulty::{self, Fault, Faulty, Plan};
use crate::base::limits;
use crate::base::retry::{HasOutlook as _, Outlook};
use crate::image_dir::attempts::{AttemptOutcome, Attempts, OpenAttempt};
use crate::image_dir::fixture::connected;
use crate::image_dir::fixture::{Place, wish};
use crate::image_dir::hold::{self, Hold, Wish};
use crate::image_dir::last_stop::NoCheckpoint;
use crate::image_dir::pod::Pod;
use crate::image_dir::retention::{Past, retain};
use crate::image_dir::staging::{Purpose, Staging};
use crate::image_dir::{Generation, ImageDir, ImageDirError};

/// What the image of a generation is, too large for the names of a bucket.
fn pages(generation: Generation) -> Vec<u8> {
    generation.to_string().bytes().cycle().take(limits::INLINE_MAX_BYTES * 2).collect()
}

/// A step of a pod, in its number; who is deposed goes on as if it were not.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Takes the image directory if it may.
    Take,
    /// Takes it since the holder has been silent for too long.
    PassOver,
    /// Dumps something, in whichever number is the next one.
    Stage,
    /// Commits what it has dumped.
    Commit,
    Remove(u64),
    Retain,
    Attempt(u64),
    MarkEnded,
    HasNotSeen,
    NoteStop,
    RemoveLeftOvers,
    Release,
    /// Is killed; the next one of this name is another pod.
    Die,
}

fn steps() -> impl Strategy<Value = Step> {
    let number = 1_u64..6;
    prop_oneof![
        4 => Just(Step::Take),
        4 => Just(Step::PassOver),
        6 => Just(Step::Stage),
        6 => Just(Step::Commit),
        1 => number.clone().prop_map(Step::Remove),
        1 => Just(Step::Retain),
        2 => number.prop_map(Step::Attempt),
        1 => Just(Step::MarkEnded),
        1 => Just(Step::HasNotSeen),
        1 => Just(Step::NoteStop),
        2 => Just(Step::RemoveLeftOvers),
        1 => Just(Step::Release),
        1 => Just(Step::Die),
    ]
}

/// One pod, as long as it lives and then its successors.
struct Replica {
    name: String,
    dir: ImageDir,
    hold: Option<Arc<Hold>>,
    staged: Option<(Staging, Generation)>,
}

impl Replica {
    fn new(name: &str, dir: ImageDir) -> Self {
        Self { name: name.to_owned(), dir, hold: None, staged: None }
    }

    fn take(&mut self, step: Step) -> Result<String, String> {
        let told = |error: ImageDirError| error.to_string();
        match (step, self.hold.clone()) {
            (Step::Take, _) => self.hold_by(wish(&self.name)),
            (Step::PassOver, _) => {
                let seen = hold::newest(&self.dir).map_err(told)?;
                self.hold_by(Wish { expired: seen.map(|seen| seen.number), ..wish(&self.name) })
            }
            (Step::Die, _) => {
                (self.hold, self.staged) = (None, None);
                self.name.push('\'');
                Ok("dies".to_owned())
            }
            (_, None) => Ok("has nothing".to_owned()),
            (Step::Stage, Some(hold)) => self.stage(&hold).map_err(told),
            (Step::Commit, Some(hold)) => match self.staged.take() {
                None => Ok("has nothing".to_owned()),
                Some((staging, generation)) => commit(&hold, &staging, generation).map_err(told),
            },
            (step, Some(hold)) => of_holder(step, &hold).map(|()| "done".to_owned()),
        }
    }

    fn hold_by(&mut self, wish: Wish) -> Result<String, String> {
        let taken = Hold::take(&self.dir, &wish).map_err(|error| error.to_string())?;
        let told = taken.name().to_string();
        self.hold = Some(taken);
        Ok(told)
    }

    fn stage(&mut self, hold: &Arc<Hold>) -> Result<String, ImageDirError> {
        let (staging, generation) = (Staging::new(hold, Purpose::Stop), self.dir.next()?);
        staging.make()?;
        let name = hold.name().join(&staging.path().file_name().unwrap().to_string_lossy()).join("pages");
        let written = self.dir.backend().create(&name, &pages(generation));
        written.map_err(|error| hold.explain("write", staging.path(), error))?;
        self.staged = Some((staging, generation));
        Ok(generation.to_string())
    }
}

fn commit(hold: &Hold, staging: &Staging, generation: Generation) -> Result<String, ImageDirError> {
    hold.remove_attempts(generation)?;
    hold.place(generation)?;
    staging.commit(generation).map(|()| generation.to_string())
}

fn of_holder(step: Step, hold: &Arc<Hold>) -> Result<(), String> {
    let done = match step {
        Step::Remove(number) => hold.remove(Generation(number)),
        Step::Retain => retain(hold, Past::Fresh(Some(Generation(1))), 2),
        Step::Attempt(number) => {
            let begun = OpenAttempt::begin(hold, Generation(number), &Pod::default(), 99);
            let recorded = begun.and_then(|attempt| attempt.record(&AttemptOutcome::Resumed));
            return recorded.map_err(|error| error.to_string());
        }
        Step::MarkEnded => hold.mark_ended("exit status 0"),
        Step::NoteStop => hold.note_stop(&Pod::default(), &NoCheckpoint::Failed("no luck".to_owned())),
        Step::RemoveLeftOvers => hold.remove_left_overs(),
        Step::HasNotSeen => {
            hold.has_not_seen();
            Ok(())
        }
        _ => {
            hold.release();
            Ok(())
        }
    };
    done.map_err(|error| error.to_string())
}

/// All that a person, or the next pod, finds; and that each generation is whole.
fn found(dir: &ImageDir) -> String {
    let generations = dir.list().unwrap();
    for generation in &generations {
        let read = dir.backend().read(&generation.directory().join("pages"), u64::MAX).unwrap();
        assert_eq!(read, pages(*generation), "{generation} is not whole");
    }
    let attempts = generations.iter().map(|one| Attempts::read(dir, *one).unwrap().attempts.len());
    let newest = hold::newest(dir).unwrap().map(|seen| (seen.number, seen.name(), seen.released));
    let lines = dir.lines().unwrap();
    let apart: Vec<_> = lines.apart.into_iter().map(|line| line.generations).collect();
    let stop = dir.last_stop().unwrap().map(|stop| stop.newest);
    format!(
        "{generations:?} {:?} {newest:?} {:?} {apart:?} {:?} {stop:?}",
        attempts.collect::<Vec<_>>(),
        dir.ended().unwrap(),
        lines.given_up
    )
}

/// As it is told wherever it is, and whichever number a staging directory has.
fn everywhere_the_same(told: &str, root: &str) -> String {
    let told = told.replace(root, "ROOT");
    match told.split_once("/staging-") {
        Some((before, after)) => {
            format!("{before}/staging{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => told,
    }
}

/// Somebody takes over, whoever is there, and sweeps: then nothing is left of contents but what files need.
fn assert_that_nothing_is_left(store: &Arc<InMemory>) {
    let mut last = Replica::new("job-9", ImageDir::open_in(connected(faulty::place(store.clone()))).unwrap());
    last.take(Step::PassOver).unwrap();
    last.take(Step::RemoveLeftOvers).unwrap();
    let (there, needed) = faulty::blobs(store);
    assert_eq!(there, needed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_has_one_outcome_wherever_it_happens(
        history in proptest::collection::vec((0_usize..3, steps()), 1..50)
    ) {
        let (volume, store) = (Place::Volume(tempfile::tempdir().unwrap()), Arc::<InMemory>::default());
        let bucket = Place::Bucket(faulty::place(store.clone()));
        let mut pods = [&volume, &bucket].map(|place| {
            ["job-0", "job-1", "job-2"].map(|name| Replica::new(name, place.open()))
        });
        let roots = pods.each_ref().map(|pods| pods[0].dir.root().display().to_string());
        for (number, step) in history {
            let mut take = |at: usize| {
                let outcome = pods[at][number].take(step);
                outcome.map_err(|error| everywhere_the_same(&error, &roots[at]))
            };
            prop_assert_eq!(take(0), take(1), "{:?}", step);
            prop_assert_eq!(found(&pods[0][0].dir), found(&pods[1][0].dir), "{:?}", step);
        }
        assert_that_nothing_is_left(&store);
    }
}

/// A life of a pod that holds the image directory: everything once.
const LIFE: [Step; 12] = [
    Step::Take,
    Step::RemoveLeftOvers,
    Step::Stage,
    Step::Commit,
    Step::Attempt(1),
    Step::Stage,
    Step::Commit,
    Step::NoteStop,
    Step::Remove(1),
    Step::Attempt(2),
    Step::MarkEnded,
    Step::Release,
];

fn live(dir: ImageDir) -> Result<(), String> {
    let mut pod = Replica::new("job-0", dir);
    LIFE.iter().try_for_each(|step| pod.take(*step).map(drop))
}

/// What goes wrong is decided by the number of the request.
fn plan(fault: impl Fn(usize) -> Fault + Send + Sync + 'static) -> (Plan, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    (Arc::new(move |_, _| fault(counted.fetch_add(1, Ordering::Relaxed))), asked)
}

fn open(store: &Arc<InMemory>, plan: &Plan) -> Result<ImageDir, ImageDirError> {
    ImageDir::open_in(connected(faulty::place(Faulty::new(store, Arc::clone(plan)))))
}

/// What another pod finds, to which nothing goes wrong.
fn found_in(store: &Arc<InMemory>) -> String {
    found(&ImageDir::look_in(connected(faulty::place(store.clone()))).unwrap())
}

/// How many requests a [`live`] takes, and what is found afterwards.
fn all_well() -> (usize, String) {
    let (store, (plan, asked)) = (Arc::<InMemory>::default(), plan(|_| Fault::None));
    live(open(&store, &plan).unwrap()).unwrap();
    (asked.load(Ordering::Relaxed), found_in(&store))
}

#[test]
fn a_request_that_goes_wrong_changes_nothing_of_what_comes() {
    let (requests, expected) = all_well();
    assert!(requests > 50, "{requests}");
    for fault in [Fault::Refused, Fault::Lost] {
        for nth in 0..requests {
            let store = Arc::<InMemory>::default();
            let plan = plan(move |asked| if asked == nth { fault } else { Fault::None }).0;
            // While it is tried what the bucket can, nothing is taken on trust: whoever opens it tries again.
            let opened = open(&store, &plan).or_else(|error| {
                assert_eq!(error.outlook(), Outlook::MayPass, "{fault:?} {nth}: {error}");
                open(&store, &plan)
            });
            live(opened.unwrap()).unwrap_or_else(|error| panic!("{fault:?} {nth}: {error}"));
            assert_eq!(found_in(&store), expected, "{fault:?} {nth}");
            assert_that_nothing_is_left(&store);
        }
    }
}

#[test]
fn a_pod_may_die_at_any_request_and_the_next_one_goes_on() {
    let (requests, _) = all_well();
    for (last, nth) in
        [Fault::Forbidden, Fault::Lost].into_iter().flat_map(|last| (0..requests).map(move |nth| (last, nth)))
    {
        let store = Arc::<InMemory>::default();
        let plan = plan(move |asked| match asked.cmp(&nth) {
            std::cmp::Ordering::Less => Fault::None,
            // It may have been done.
            std::cmp::Ordering::Equal => last,
            std::cmp::Ordering::Greater => Fault::Forbidden,
        });
        let died = open(&store, &plan.0).map_err(|error| error.to_string()).and_then(live);
        assert!(died.is_err() || nth + 8 > requests, "{last:?} {nth}");
        let mut next =
            Replica::new("job-1", ImageDir::open_in(connected(faulty::place(store.clone()))).unwrap());
        for step in [Step::PassOver, Step::RemoveLeftOvers, Step::Stage, Step::Commit] {
            next.take(step).unwrap_or_else(|error| panic!("{last:?} {nth}: {error}"));
        }
        found_in(&store);
        assert_that_nothing_is_left(&store);
    }
}
