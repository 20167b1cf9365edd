//! What a bucket promises whatever its answers are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use object_store::memory::InMemory;

use super::faulty::{self, Asked, Fault, Faulty, Plan, place};
use super::*;
use crate::base::retry::{HasOutlook as _, Outlook};
use crate::base::step_thread;

fn sound(inner: &Arc<InMemory>) -> Bucket {
    Bucket::look(place(Arc::clone(inner) as Arc<dyn ObjectStore>).connect().unwrap())
}

fn failing(inner: &Arc<InMemory>, plan: Plan) -> Bucket {
    Bucket::look(place(Faulty::new(inner, plan)).connect().unwrap())
}

/// One request of these goes wrong, all others do not.
fn once(nth: usize, fault: Fault) -> Plan {
    let asked = AtomicUsize::new(0);
    Arc::new(move |_, _| if asked.fetch_add(1, Ordering::Relaxed) == nth { fault } else { Fault::None })
}

fn large(byte: u8) -> Vec<u8> {
    vec![byte; limits::INLINE_MAX_BYTES + 1]
}

fn name(name: &str) -> Name {
    Name::from(name)
}

/// A life of a hold: it is made, something is written below it, renamed, and removed; what was left is swept.
fn life(bucket: &Bucket) -> io::Result<()> {
    bucket.make_all(&name("holders/1"))?;
    bucket.make(&name("holders/1/staging"))?;
    bucket.create(&name("holders/1/staging/pages"), &large(7))?;
    bucket.rename(&name("holders/1/staging"), &name("generation"))?;
    bucket.create(&name("holders/1/partial"), &large(8))?;
    bucket.rename(&name("holders/1/partial"), &name("account"))?;
    bucket.remove(&name("account"))?;
    bucket.sweep(&name("holders/1"))
}

/// That [`life`] was done, each part of it once.
fn assert_lived(inner: &Arc<InMemory>) {
    let bucket = sound(inner);
    let names = |directory: &Name| {
        let listed = bucket.list(directory).unwrap();
        listed.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&Name::root()), ["generation", "holders"]);
    assert!(names(&name("holders/1")).is_empty());
    assert_eq!(bucket.read(&name("generation/pages"), u64::MAX).unwrap(), large(7));
    assert_eq!(faulty::blobs(inner).0, 1);
}

#[test]
fn all_of_a_directory_has_its_new_place_at_one_moment() {
    let inner = Arc::new(InMemory::new());
    let bucket = sound(&inner);
    bucket.make_all(&name("packs")).unwrap();
    bucket.make_all(&name("holders/1/packs")).unwrap();
    (0..20).for_each(|number| bucket.create(&name(&format!("holders/1/packs/{number}")), b"pack").unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let plan: Plan = Arc::new(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Fault::None
    });
    failing(&inner, plan).rename_all(&name("holders/1/packs"), &name("packs")).unwrap();
    assert_eq!(bucket.list(&name("packs")).unwrap().len(), 20);
    assert!(bucket.list(&name("holders/1/packs")).unwrap().is_empty());
    assert_eq!(asked.load(Ordering::Relaxed), 2, "it reads the names and writes them");
}

#[test]
fn contents_that_have_lost_their_names_are_not_taken_for_superfluous() {
    let inner = Arc::new(InMemory::new());
    let open = || Bucket::open(place(Arc::clone(&inner) as Arc<dyn ObjectStore>).connect().unwrap());
    let bucket = open().unwrap();
    bucket.make_all(&name("holders/1")).unwrap();
    bucket.create(&name("holders/1/pages"), &large(7)).unwrap();
    bucket.requests.remove(vec![bucket.requests.path(NAMES)]).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("its object `names`, which says what is what, is missing"), "{error}");
}

/// How many requests a [`life`] takes.
fn requests_of_a_life() -> usize {
    let (inner, asked) = (Arc::<InMemory>::default(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    let bucket = failing(
        &inner,
        Arc::new(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Fault::None
        }),
    );
    life(&bucket).unwrap();
    assert_lived(&inner);
    asked.load(Ordering::Relaxed)
}

#[test]
fn one_request_that_goes_wrong_is_not_noticed() {
    let requests = requests_of_a_life();
    assert!((10..30).contains(&requests), "{requests}");
    for fault in [Fault::Refused, Fault::Lost, Fault::Silent, Fault::Hung] {
        for nth in 0..requests {
            let inner = Arc::<InMemory>::default();
            life(&failing(&inner, once(nth, fault)))
                .unwrap_or_else(|error| panic!("{fault:?} {nth}: {error}"));
            assert_lived(&inner);
        }
    }
}

#[test]
fn who_is_told_without_reason_that_others_were_faster_begins_again() {
    for nth in 0..6 {
        let (inner, asked) = (Arc::<InMemory>::default(), AtomicUsize::new(0));
        let bucket = failing(
            &inner,
            Arc::new(move |asked_for, path| {
                let counts = asked_for == Asked::Put && path.filename() == Some(NAMES);
                let is_it = counts && asked.fetch_add(1, Ordering::Relaxed) == nth;
                if is_it { Fault::Conflict } else { Fault::None }
            }),
        );
        life(&bucket).unwrap();
        assert_lived(&inner);
    }
}

#[test]
fn what_fails_for_good_says_so_and_leaves_what_was_there() {
    let all =
        |fault| -> Plan { Arc::new(move |asked, _| if asked == Asked::Get { Fault::None } else { fault }) };
    for (fault, outlook, told) in [
        (Fault::Refused, Outlook::MayPass, "503 Slow Down"),
        (Fault::Forbidden, Outlook::Lasting, "403 Forbidden"),
        (Fault::Hung, Outlook::MayPass, "the bucket gave no answer within 0.2 s"),
    ] {
        let inner = Arc::<InMemory>::default();
        sound(&inner).make_all(&name("holders/1")).unwrap();
        let before = sound(&inner).names().unwrap();
        let bucket = failing(&inner, all(fault));
        for error in [
            bucket.rename(&name("holders/1"), &name("other")).unwrap_err(),
            bucket.create(&name("holders/1/pages"), &large(1)).unwrap_err(),
        ] {
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!((error.outlook(), error.is_of_the_volume()), (outlook, true));
        }
        assert_eq!(sound(&inner).names().unwrap(), before);
    }
}

#[test]
fn a_bucket_that_takes_no_notice_of_conditions_is_refused_and_one_that_does_is_clean_afterwards() {
    let error = Bucket::open(place(Faulty::careless()).connect().unwrap()).unwrap_err().to_string();
    assert!(error.contains("does not write on conditions"), "{error}");
    let inner = Arc::<InMemory>::default();
    let bucket = Bucket::open(place(Arc::clone(&inner) as Arc<dyn ObjectStore>).connect().unwrap()).unwrap();
    assert!(bucket.requests.list("").unwrap().is_empty());
}

#[test]
fn what_somebody_else_keeps_there_stays_theirs() {
    let inner = Arc::<InMemory>::default();
    let theirs = object_store::path::Path::from("checkpoints/job-0/photos/1.jpg");
    sound(&inner).requests.put(theirs, b"x".to_vec(), PutMode::Create).unwrap();
    let error = Bucket::open(place(Arc::clone(&inner) as Arc<dyn ObjectStore>).connect().unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("something in it that is not crik's (photos)"), "{error}");
    // What is crik's stays crik's.
    sound(&inner).make_all(&Name::root()).unwrap();
    Bucket::open(place(inner).connect().unwrap()).unwrap();
}

/// Waits before the first request of this kind, and says so, until it may go on.
fn gate(at: Asked, which: &'static str) -> (Plan, Receiver<()>, Sender<()>) {
    let ((reach, reached), (open, opened)) = (channel(), channel::<()>());
    let ends = Mutex::new(Some((reach, opened)));
    let plan: Plan = Arc::new(move |asked, path| {
        let is_it = asked == at && path.as_ref().contains(which);
        if let Some((reach, opened)) = is_it.then(|| locked(&ends).take()).flatten() {
            let _: Result<(), _> = reach.send(());
            let _ = opened.recv();
        }
        Fault::None
    });
    (plan, reached, open)
}

/// Does `late` up to a request of this kind, then `meanwhile`, and then the rest of it.
fn held_up<T: Send>(
    (at, which): (Asked, &'static str),
    inner: &Arc<InMemory>,
    late: impl FnOnce(&Bucket) -> T + Send,
    meanwhile: impl FnOnce(&Bucket),
) -> T {
    let (plan, reached, open) = gate(at, which);
    let place = Place { limit: Duration::from_secs(60), ..place(Faulty::new(inner, plan)) };
    let bucket = Bucket::look(place.connect().unwrap());
    std::thread::scope(|scope| {
        let late = scope.spawn(|| late(&bucket));
        reached.recv_timeout(Duration::from_secs(30)).unwrap();
        meanwhile(&bucket);
        drop(open);
        late.join().unwrap()
    })
}

/// A bucket with the hold 1, and a blob that nobody needs.
fn with_garbage() -> Arc<InMemory> {
    let inner = Arc::<InMemory>::default();
    let bucket = sound(&inner);
    bucket.make_all(&name("holders/1")).unwrap();
    bucket.create(&name("holders/1/old"), &large(1)).unwrap();
    bucket.remove(&name("holders/1/old")).unwrap();
    inner
}

/// Another pod takes over and commits, in the steps in which holds do that.
fn another_takes_over(inner: &Arc<InMemory>) {
    let bucket = sound(inner);
    bucket.make(&name("holders/2")).unwrap();
    bucket.rename(&name("holders/1"), &name("holders/2/removing")).unwrap();
    bucket.remove(&name("holders/2/removing")).unwrap();
    bucket.create(&name("holders/2/pages"), &large(2)).unwrap();
    bucket.rename(&name("holders/2/pages"), &name("generation")).unwrap();
}

fn assert_committed(inner: &Arc<InMemory>) {
    assert_eq!(sound(inner).read(&name("generation"), u64::MAX).unwrap(), large(2));
}

#[test]
fn who_sweeps_and_was_passed_over_removes_nothing_that_is_needed_however_late_it_is() {
    for (at, which, is_told) in
        [(Asked::List, blobs::BLOBS, true), (Asked::Put, NAMES, true), (Asked::Delete, blobs::BLOBS, false)]
    {
        let inner = with_garbage();
        let sweep = |late: &Bucket| late.sweep(&name("holders/1"));
        let swept = held_up((at, which), &inner, sweep, |_| another_takes_over(&inner));
        let refused = swept.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        assert_eq!(refused, is_told, "{at:?}");
        assert_committed(&inner);
        sound(&inner).sweep(&name("holders/2")).unwrap();
        assert_committed(&inner);
        assert_eq!(faulty::blobs(&inner).0, 1);
    }
}

#[test]
fn what_is_written_and_not_named_yet_is_not_swept() {
    let inner = with_garbage();
    let create = |late: &Bucket| late.create(&name("holders/1/generation"), &large(2));
    let sweep = |same: &Bucket| same.sweep(&name("holders/1")).unwrap();
    held_up((Asked::Put, NAMES), &inner, create, sweep).unwrap();
    sound(&inner).rename(&name("holders/1/generation"), &name("generation")).unwrap();
    assert_committed(&inner);
    assert_eq!(faulty::blobs(&inner).0, 1);
}

#[test]
fn a_change_that_arrives_after_a_sweep_is_none() {
    let inner = with_garbage();
    let before = sound(&inner).current().unwrap().unwrap();
    // Who asked for it has given it up meanwhile, and what it names is swept.
    sound(&inner).sweep(&name("holders/1")).unwrap();
    let mut names = (*before.names).clone();
    names.note("late");
    let late = sound(&inner).replace(Some(before), Arc::new(names));
    assert!(matches!(late, Err(Failure::Conflict)), "{late:?}");
    assert!(!sound(&inner).names().unwrap().has("late"));
}

#[test]
fn many_that_change_the_names_at_once_all_do_so_once() {
    let inner = Arc::<InMemory>::default();
    sound(&inner).make_all(&Name::root()).unwrap();
    std::thread::scope(|scope| {
        for pod in 0..5 {
            let bucket = sound(&inner);
            scope.spawn(move || {
                (0..20).for_each(|number| bucket.make(&name(&format!("{pod}-{number}"))).unwrap());
            });
        }
    });
    assert_eq!(sound(&inner).list(&Name::root()).unwrap().len(), 100);
}

#[test]
fn a_sweep_removes_what_is_left_of_trials_of_long_ago_and_of_no_others() {
    let inner = with_garbage();
    let bucket = sound(&inner);
    bucket.requests.put(bucket.requests.path("trials/1"), b"trial".to_vec(), PutMode::Create).unwrap();
    bucket.sweep(&name("holders/1")).unwrap();
    assert_eq!(bucket.requests.list(trial::TRIALS).unwrap().len(), 1);
    trial::sweep(&bucket.requests, Duration::ZERO).unwrap();
    assert!(bucket.requests.list(trial::TRIALS).unwrap().is_empty());
}

#[test]
fn no_thread_of_a_bucket_has_the_descriptors_of_a_step() {
    let begun = step_thread::run(|| place(Arc::<InMemory>::default()).connect().map(drop));
    let error = begun.blocking_recv().unwrap().unwrap_err().to_string();
    assert_eq!(error, "the thread for a bucket cannot be begun in a step");
}

#[test]
fn a_bucket_that_lets_nothing_be_removed_is_told_with_the_remedy_and_written_all_the_same() {
    let inner = Arc::<InMemory>::default();
    let kept: Plan = Arc::new(|asked, _| if asked == Asked::Delete { Fault::Forbidden } else { Fault::None });
    let open = |plan: Plan| Bucket::open(place(Faulty::new(&inner, plan)).connect().unwrap()).unwrap();
    let bucket = open(kept);
    let told = bucket.refuses_removal().unwrap();
    assert!(
        told.contains("403 Forbidden") && told.contains("s3:DeleteObject on checkpoints/job-0/*"),
        "{told}"
    );
    bucket.make_all(&name("holders/1")).unwrap();
    bucket.create(&name("holders/1/pages"), &large(1)).unwrap();
    bucket.rename(&name("holders/1/pages"), &name("generation")).unwrap();
    bucket.create(&name("holders/1/old"), &large(2)).unwrap();
    bucket.remove(&name("holders/1/old")).unwrap();
    let error = bucket.sweep(&name("holders/1")).unwrap_err();
    assert_eq!((error.to_string(), error.outlook()), (told, Outlook::Lasting));
    assert_eq!(bucket.read(&name("generation"), u64::MAX).unwrap(), large(1));
    // Once it is allowed, all goes that has been left.
    let mended = open(Arc::new(|_, _| Fault::None));
    mended.sweep(&name("holders/1")).unwrap();
    assert_eq!((mended.refuses_removal(), faulty::blobs(&inner)), (None, (1, 1)));
}

#[test]
fn names_of_a_later_release_are_told_and_left_as_they_are() {
    let inner = Arc::<InMemory>::default();
    let bucket = sound(&inner);
    let later = br#"{"version": 2, "root": "elsewhere"}"#;
    let names = bucket.requests.path(NAMES);
    bucket.requests.put(names, later.to_vec(), PutMode::Create).unwrap();
    let opened = Bucket::open(place(Arc::clone(&inner) as Arc<dyn ObjectStore>).connect().unwrap());
    for error in [
        opened.unwrap_err().to_string(),
        bucket.make_all(&name("holders/1")).unwrap_err().to_string(),
        bucket.sweep(&name("holders/1")).unwrap_err().to_string(),
    ] {
        assert!(
            error.contains("have version 2, and this crik") && error.ends_with("use the newer crik"),
            "{error}"
        );
    }
    let (left, _) = bucket.requests.read_if_changed(NAMES, None, limits::NAMES_MAX_BYTES).unwrap();
    assert_eq!(left, later);
}
