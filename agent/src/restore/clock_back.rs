//! Decides whether a generation is resumed of which processes would stand still here, since the clock goes back.

use std::time::Duration;

use anyhow::{Result, bail};
use crik_store::generation::manifest::Manifest;

use crate::base::units::roughly;
use crate::carry::clocks::go_on::{Standstill, standstill};
use crate::config::OnClockBack;

/// Says what would stand still, and whether that is accepted.
///
/// # Errors
/// It is not: the generation is to be left.
pub fn check(manifest: &Manifest, policy: OnClockBack) -> Result<()> {
    let Some(standstill) = standstill(manifest)? else { return Ok(()) };
    let cost = cost(&standstill);
    if is_refused(&standstill, policy) {
        bail!(
            "{cost} (onClockBack: {policy}; a pod with hostUsers: false, SYS_ADMIN and SYS_TIME would go on at once)"
        );
    }
    tracing::warn!(step = "restore", "{cost}; resumed all the same, see onClockBack");
    Ok(())
}

fn is_refused(standstill: &Standstill, policy: OnClockBack) -> bool {
    match (policy, standstill.ran) {
        (OnClockBack::Refuse, _) => true,
        // Nobody knows what a fresh start would lose; that release resumed it.
        (OnClockBack::Resume, _) | (OnClockBack::Auto, None) => false,
        (OnClockBack::Auto, Some(ran)) => standstill.back >= ran,
    }
}

fn cost(standstill: &Standstill) -> String {
    let who = match standstill.who.as_slice() {
        [] => "whatever waits until a time of the clock".to_owned(),
        who => who.join(", "),
    };
    let loses =
        standstill.ran.map_or_else(String::new, |ran| format!("; a fresh start loses {}", whole(ran)));
    format!(
        "this machine was booted later than the one before: {who} may stand still for {}{loses}",
        whole(standstill.back)
    )
}

fn whole(duration: Duration) -> String {
    roughly(Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn of(back: u32, ran: Option<u32>) -> Standstill {
        Standstill {
            back: back * HOUR,
            who: vec!["job (301, linked statically)".to_owned()],
            ran: ran.map(|ran| ran * HOUR),
        }
    }

    #[test]
    fn the_smaller_loss_is_taken() {
        assert!(is_refused(&of(23, Some(3)), OnClockBack::Auto));
        assert!(!is_refused(&of(3, Some(23)), OnClockBack::Auto));
        assert!(!is_refused(&of(23, None), OnClockBack::Auto));
    }

    #[test]
    fn whoever_has_chosen_gets_that() {
        assert!(!is_refused(&of(23, Some(3)), OnClockBack::Resume));
        assert!(is_refused(&of(3, Some(23)), OnClockBack::Refuse));
    }

    #[test]
    fn both_numbers_are_told() {
        let told = cost(&of(23, Some(3)));
        assert!(
            told.contains("job (301, linked statically) may stand still for 23h; a fresh start loses 3h"),
            "{told}"
        );
        let unknown = Standstill { back: HOUR, who: Vec::new(), ran: None };
        assert!(cost(&unknown).ends_with("whatever waits until a time of the clock may stand still for 1h"));
    }
}
