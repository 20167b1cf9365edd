use std::cell::RefCell;

use futures_util::stream;
use kube::core::Status;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::*;
use crate::signals::Object;

/// How often there is a watch, and so a proof, if all is well.
const PROVED_EVERY: Duration = Duration::from_secs(limits::WATCH_SECONDS as u64);

fn named(name: &str) -> WatchedNode {
    let yaml = format!("metadata: {{name: {name}}}");
    serde_yaml::from_str::<Object>(&yaml).unwrap().into()
}

fn refused(code: u16) -> Step {
    let status = Status { code, ..Status::failure("no", "") };
    Err(watcher::Error::WatchError(Box::new(status)))
}

/// What is told of these steps, after which the stream says nothing more.
async fn told(steps: Vec<Step>, answered: &Notify, count: usize) -> Vec<Event> {
    told_by(vec![steps], answered, count).await
}

/// The same up to the first event of a kind.
async fn told_until(steps: Vec<Step>, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let (mut all, signals) = (Vec::new(), Signals::built_in());
    let over = Notify::new();
    let (_prover, mut proofs) = mpsc::channel(1);
    // A watch that is begun anew goes on with them.
    let steps = RefCell::new(steps.into_iter());
    let begin = || stream::iter(std::iter::from_fn(|| steps.borrow_mut().next())).chain(stream::pending());
    let tell = |event: Event| {
        if is_last(&event) {
            over.notify_one();
        }
        all.push(event);
    };
    let answered = Notify::new();
    tokio::select! {
        () = forward(begin, &answered, &mut proofs, &signals, tell) => {}
        () = over.notified() => {}
    }
    all
}

/// The same of one watch after the other.
async fn told_by(watches: Vec<Vec<Step>>, answered: &Notify, count: usize) -> Vec<Event> {
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut watches = watches.into_iter();
    let begin = || stream::iter(watches.next().unwrap_or_default()).chain(stream::pending());
    let signals = Signals::built_in();
    let (prover, mut proofs) = mpsc::channel(1);
    let mut all = Vec::new();
    let tell = |event| {
        let _ = sender.send(event);
    };
    tokio::select! {
        () = forward(begin, answered, &mut proofs, &signals, tell) => {}
        () = prove(prover, |_| true) => {}
        () = async {
            while all.len() < count && let Some(event) = events.recv().await {
                all.push(event);
            }
        } => {}
    }
    all
}

/// What stands for the reads: they are good at such times after the beginning.
async fn prove(proofs: mpsc::Sender<Proof>, good_at: impl Fn(u64) -> bool) {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let good = good_at(begun.elapsed().as_secs());
        let answer = if good { Ok(()) } else { Err("no leader".to_owned()) };
        let _ = proofs.send(Proof { asked, answer }).await;
        sleep(PROVED_EVERY).await;
    }
}

/// What is told in ten minutes, with the second, of watches that have nothing to tell after their lists, are
/// answered again and again, and are proved to be new in such seconds.
async fn told_of_a_quiet_watch(good_at: impl Fn(u64) -> bool) -> Vec<(u64, Event)> {
    let (begun, answered, signals) = (Instant::now(), Notify::new(), Signals::built_in());
    let (prover, mut proofs) = mpsc::channel(1);
    let begin = || {
        let list = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)];
        stream::iter(list).chain(stream::pending())
    };
    let mut told = Vec::new();
    let rings = async {
        loop {
            sleep(PROVED_EVERY).await;
            answered.notify_one();
        }
    };
    tokio::select! {
        () = forward(begin, &answered, &mut proofs, &signals, |event| {
            told.push((begun.elapsed().as_secs(), event));
        }) => {}
        () = prove(prover, good_at) => {}
        () = rings => {}
        () = sleep(Duration::from_secs(600)) => {}
    }
    told.retain(|(_, event)| !matches!(event, Event::Heard | Event::Proved(_)));
    told
}

#[tokio::test(start_paused = true)]
async fn a_list_is_passed_on_as_a_whole() {
    let steps = vec![
        Ok(watcher::Event::Init),
        Ok(watcher::Event::InitApply(named("a"))),
        Ok(watcher::Event::Init),
        Ok(watcher::Event::InitApply(named("b"))),
        Ok(watcher::Event::InitDone),
        Ok(watcher::Event::Delete(named("b"))),
    ];
    let told = told(steps, &Notify::new(), 2).await;
    let Event::Listed(nodes) = &told[0] else { panic!("no list") };
    assert_eq!((nodes.len(), &*nodes[0].0), (1, "b"));
    assert_eq!(told[1], Event::Deleted("b".into()));
}

#[tokio::test(start_paused = true)]
async fn failures_that_last_are_told_and_followed_by_pauses_that_grow() {
    let begun = Instant::now();
    let failures = tries_in_the_grace() + 9;
    let mut steps: Vec<Step> = (0..failures).map(|_| refused(500)).collect();
    steps.push(Ok(watcher::Event::Delete(named("a"))));
    let told = told_until(steps, |event| matches!(event, Event::Deleted(_))).await;
    let (last, lost) = told.split_last().unwrap();
    assert_eq!(*last, Event::Deleted("a".into()));
    assert!(lost.len() > 3 && lost.iter().all(|event| matches!(event, Event::Lost(_))), "{lost:?}");
    let (pauses, longest) = (begun.elapsed(), limits::API_RETRY_MAX * 2 * failures);
    assert!(pauses > limits::API_RETRY_MAX && pauses < longest, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_within_the_grace_is_not_told() {
    let begun = Instant::now();
    let steps = vec![refused(500), refused(500), Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)];
    let after = told(steps, &Notify::new(), 2).await;
    // The second comes of a proof.
    assert!(matches!(&after[..], [Event::Listed(_), Event::Proved(_)]), "{after:?}");
    assert!(begun.elapsed() > limits::LOSS_GRACE);
}

/// How often an API server that is away is asked at most before that is told.
fn tries_in_the_grace() -> u32 {
    (limits::LOSS_GRACE.as_millis() / limits::API_RETRY_MIN.as_millis()).try_into().unwrap()
}

/// What is told first of an API server that was away for so long.
async fn told_first_after_an_outage_of(outage: Duration) -> Event {
    let (back, answered) = (Instant::now() + outage, Arc::new(Notify::new()));
    let bell = Arc::clone(&answered);
    let watch = stream::repeat(()).then(move |()| {
        let bell = Arc::clone(&bell);
        async move {
            if Instant::now() >= back {
                bell.notify_one();
                std::future::pending::<()>().await;
            }
            refused(500)
        }
    });
    let ((_prover, mut proofs), (tell, mut told)) = (mpsc::channel(1), mpsc::unbounded_channel());
    let (mut watch, signals) = (Some(Box::pin(watch)), Signals::built_in());
    let begin = || watch.take().expect("no watch is begun anew so soon");
    tokio::select! {
        () = forward(begin, &answered, &mut proofs, &signals, |event| tell.send(event).unwrap()) => panic!("it ends"),
        event = told.recv() => event.unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_over_within_the_grace_is_not_told_whenever_it_is_asked_again() {
    // Pauses are chosen by chance.
    for _ in 0..100 {
        for millis in [100, 600, 1000, 1500, 1900, 2200] {
            let first = told_first_after_an_outage_of(Duration::from_millis(millis)).await;
            assert_eq!(first, Event::Heard, "after {millis} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_outlasts_the_grace_is_told() {
    let first = told_first_after_an_outage_of(limits::LOSS_GRACE + limits::WATCH_SETTLE).await;
    assert!(matches!(first, Event::Lost(_)), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_when_the_grace_is_over() {
    let begun = Instant::now();
    let told = told(vec![refused(500)], &Notify::new(), 1).await;
    assert!(matches!(&told[0], Event::Lost(why) if why.contains("500")), "{told:?}");
    assert_eq!(begun.elapsed().as_millis(), limits::LOSS_GRACE.as_millis());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_answered_and_stays_good_is_heard() {
    let answered = Notify::new();
    answered.notify_one();
    let begun = Instant::now();
    assert_eq!(told(vec![], &answered, 1).await, [Event::Heard]);
    assert!(begun.elapsed() >= limits::WATCH_SETTLE);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_answered_and_then_fails_is_not_heard() {
    let answered = Notify::new();
    answered.notify_one();
    let told = told(vec![refused(410), Ok(watcher::Event::Init)], &answered, 2).await;
    assert!(told.iter().all(|event| matches!(event, Event::Lost(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_go_on_begins_anew_with_a_list() {
    let gone = kube::Error::Api(Box::new(Status { code: 410, ..Status::failure("gone", "Expired") }));
    let first = vec![Err(watcher::Error::WatchStartFailed(gone)), Ok(watcher::Event::Delete(named("a")))];
    let second = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)];
    let told = told_by(vec![first, second], &Notify::new(), 1).await;
    assert!(matches!(&told[..], [Event::Listed(_)]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_long_loss_all_nodes_are_listed_anew() {
    let tries = usize::try_from(limits::RELIST_AFTER.as_secs() / limits::API_RETRY_MAX.as_secs()).unwrap();
    let tries = tries + usize::try_from(tries_in_the_grace()).unwrap();
    let first: Vec<Step> = (0..2 * tries + 8).map(|_| refused(500)).collect();
    let failures = first.len();
    let second = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)];
    let told = told_by(vec![first, second], &Notify::new(), failures).await;
    assert!(told.iter().any(|event| matches!(event, Event::Listed(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_list_does_not_mean_that_all_is_well() {
    let answered = Notify::new();
    answered.notify_one();
    let steps = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitApply(named("a")))];
    let told = told(steps, &answered, 1).await;
    assert!(matches!(told[0], Event::Lost(_)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_means_that_the_api_server_is_lost() {
    let begun = Instant::now();
    let told = told(vec![], &Notify::new(), 1).await;
    assert!(matches!(&told[0], Event::Lost(why) if why.contains("nothing")), "{told:?}");
    assert!(begun.elapsed() <= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn proofs_say_nothing_newer_than_the_last_sign_of_the_watch() {
    let steps = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)];
    let told = told(steps, &Notify::new(), 6).await;
    let silences: Vec<u64> = told
        .iter()
        .filter_map(|event| if let Event::Proved(silent) = event { Some(silent.as_secs()) } else { None })
        .collect();
    assert!(silences.windows(2).all(|pair| pair[1] == pair[0] + PROVED_EVERY.as_secs()), "{told:?}");
    assert!(silences.len() > 3 && !told.contains(&Event::Heard), "{told:?}");
}

fn is_of_proof(event: &Event) -> bool {
    matches!(event, Event::Lost(why) if why.contains("is its etcd there? (no leader)"))
}

#[tokio::test(start_paused = true)]
async fn a_good_watch_is_lost_when_proofs_run_out_and_is_begun_anew_when_they_come_again() {
    let told = told_of_a_quiet_watch(|second| !(20..100).contains(&second)).await;
    let [(0, Event::Listed(_)), (lost, why), (back, Event::Listed(_))] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(is_of_proof(why), "{why:?}");
    // The last proof was that of second 15.
    assert_eq!((*lost, *back), (15 + limits::API_LOST.as_secs(), 100));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_a_proof_and_answers_from_a_cache_are_none() {
    let told = told_of_a_quiet_watch(|_| false).await;
    let [(0, Event::Listed(_)), (lost, why)] = &told[..] else { panic!("{told:?}") };
    assert!(is_of_proof(why), "{why:?}");
    assert_eq!(*lost, limits::API_LOST.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_fails_for_a_moment_makes_nothing_old() {
    let told = told_of_a_quiet_watch(|second| second % 20 == 0).await;
    assert_eq!(told, [(0, Event::Listed(Vec::new()))]);
}
