use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn identity(lives: Duration) -> Identity {
    Identity { user: "u".to_owned(), node: None, pod: None, expires: SystemTime::now() + lives }
}

fn signed() -> Arc<Known> {
    Known::signed(identity(HOUR))
}

fn word(verdict: Verdict, lives: Duration) -> Arc<Known> {
    Known::word(verdict, SystemTime::now() + lives, MINUTE)
}

fn good() -> Result<Verdict, NoAnswer> {
    Ok(Ok(identity(HOUR)))
}

fn bad() -> Result<Verdict, NoAnswer> {
    Ok(Err("its pod is gone".to_owned()))
}

fn away() -> Result<Verdict, NoAnswer> {
    Err(NoAnswer::Away("it hangs".to_owned()))
}

fn busy() -> Result<Verdict, NoAnswer> {
    Err(NoAnswer::Busy("too many".to_owned()))
}

fn refused(known: &Known) -> Refusal {
    known.identity(Instant::now()).unwrap_err()
}

#[test]
fn what_is_known_is_kept_as_long_as_its_token_lives_but_not_for_ever() {
    let lasts = |known: Arc<Known>, most: Duration| known.age() <= most && known.age() > most - MINUTE;
    assert!(lasts(word(Ok(identity(HOUR)), HOUR), HOUR));
    assert!(lasts(signed(), HOUR) && lasts(signed().after(bad(), MINUTE), HOUR));
    assert_eq!(word(Ok(identity(HOUR)), 365 * 24 * HOUR).age(), limits::TOKEN_KEPT);
    assert_eq!(word(Ok(identity(HOUR)), Duration::ZERO).age(), Duration::ZERO);
    assert_eq!(word(Err("bad".to_owned()), HOUR).age(), limits::BAD_TOKEN_KNOWN);
}

#[test]
fn one_asks_again_when_it_is_old() {
    let known = word(Ok(identity(HOUR)), HOUR);
    assert!(!known.falls_due(Instant::now()));
    let later = Instant::now() + MINUTE;
    assert!(known.falls_due(later) && !known.falls_due(later));
    assert!(signed().falls_due(Instant::now()), "a signature is to be confirmed at once");
    let refused = signed().after(bad(), MINUTE);
    let soon = Instant::now() + limits::BAD_TOKEN_KNOWN;
    assert!(refused.falls_due(soon), "a mistake that was put right counts soon");
}

#[test]
fn a_token_that_was_found_bad_stays_so_while_the_api_server_is_away() {
    let mut known = signed().after(bad(), MINUTE);
    for answer in [away(), busy(), away()] {
        known = known.after(answer, MINUTE);
        assert!(matches!(refused(&known), Refusal::Invalid(why) if why.contains("gone")));
    }
    assert!(known.after(good(), MINUTE).identity(Instant::now()).is_ok(), "its word may change");
}

#[test]
fn a_signature_counts_while_the_api_server_is_away_and_not_while_others_keep_it_busy() {
    assert!(signed().after(away(), MINUTE).identity(Instant::now()).is_ok());
    let unasked = signed().after(busy(), MINUTE);
    assert!(matches!(refused(&unasked), Refusal::Unavailable(why) if why == "too many"));
    assert!(unasked.after(away(), MINUTE).identity(Instant::now()).is_ok());
    assert!(unasked.after(good(), MINUTE).after(busy(), MINUTE).identity(Instant::now()).is_ok());
}

#[test]
fn without_the_api_servers_word_a_token_counts_for_an_hour_whatever_comes_between() {
    let later = Instant::now() + limits::UNCONFIRMED_MAX + 2 * MINUTE;
    for known in [signed(), signed().after(good(), MINUTE), word(Ok(identity(24 * HOUR)), 24 * HOUR)] {
        let known = known.after(away(), MINUTE).after(away(), MINUTE);
        assert!(known.identity(later - 3 * MINUTE).is_ok());
        let refusal = known.identity(later).unwrap_err();
        assert!(matches!(&refusal, Refusal::Unavailable(why) if why.contains("60 minutes")), "{refusal}");
    }
}
