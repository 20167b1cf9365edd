//! Makes the page for a fresh start, and the one with which a tree goes on. Pure.
//!
//! Pages of the layout before go on too, beside the library that came with them, and keep their length.

use std::mem::offset_of;

use crik_store::generation::clock_facts::Clocks;
use thiserror::Error;

use super::layout::{self, BYTES, CLOCKS, MAGIC, NUMBERS, Number, Page, Renumbered, SLOTS, Slot, Time};
use super::machine;

/// The layout before this one: the same as far as it goes, which is to where the files' numbers begin.
const MAGIC_BEFORE: u64 = u64::from_le_bytes(*b"crikclk1");
const BYTES_BEFORE: usize = offset_of!(Page, renumbered);

const TABLE: usize = offset_of!(Page, renumbered);

/// It is no page of clocks, or of a layout that this version does not know.
#[derive(Debug, Error)]
pub enum PageError {
    /// The file was cut or is another one.
    #[error(
        "the page of clocks has {found} bytes, which is not its length; it cannot be used, and the clocks stand as the machine has them"
    )]
    Size {
        /// How long it is.
        found: usize,
    },
    /// Made by another release.
    #[error(
        "the page of clocks begins with {found:?}, a layout which this release of crik does not know; resume with the release that took the checkpoint"
    )]
    Layout {
        /// Its first bytes.
        found: String,
    },
}

/// The page of a tree whose clocks are the machine's.
#[must_use]
pub fn fresh() -> Vec<u8> {
    let mut page = vec![0; BYTES];
    put(&mut page, offset_of!(Page, magic), MAGIC.to_ne_bytes());
    page
}

/// Where in the page stands whether programs may make rings of io_uring, and what says that they may.
pub const RINGS: (u64, [u8; 8]) = (offset_of!(Page, rings) as u64, 1_u64.to_ne_bytes());

/// How far the tree's clocks are ahead of its machine's.
///
/// # Errors
/// [`PageError`].
pub fn offsets(page: &[u8]) -> Result<Clocks, PageError> {
    check(page)?;
    let of = |clock| {
        let offset = time(page, offset_at(clock));
        offset.seconds.wrapping_mul(layout::NANOSECONDS).wrapping_add(offset.nanoseconds)
    };
    Ok(Clocks {
        monotonic: of(layout::MONOTONIC),
        monotonic_raw: of(layout::MONOTONIC_RAW),
        boottime: of(layout::BOOTTIME),
        ticks: number(page, offset_of!(Page, ticks)),
    })
}

/// The page with which a frozen tree goes on, on a machine whose clocks say `now`, where it was frozen when its machine's said `then`:
/// each clock from where it stood, and each wait until when it was to end by that clock.
///
/// # Errors
/// [`PageError`].
pub fn rebase(old: &[u8], then: Clocks, now: Clocks) -> Result<Vec<u8>, PageError> {
    let offsets = offsets(old)?.plus(then.ahead_of(now));
    let mut page = old.to_vec();
    for clock in (0..CLOCKS as i32).filter(|clock| layout::SHIFTED & 1 << clock != 0) {
        put_time(&mut page, offset_at(clock), machine::of(&offsets, clock).unwrap_or_default());
    }
    put(&mut page, offset_of!(Page, ticks), offsets.ticks.to_ne_bytes());
    let moves = number(old, offset_of!(Page, moves)).wrapping_add(1);
    put(&mut page, offset_of!(Page, moves), moves.to_ne_bytes());
    (0..SLOTS).for_each(|slot| rebase_slot(&mut page, slot, offsets));
    Ok(page)
}

fn rebase_slot(page: &mut [u8], index: usize, offsets: Clocks) {
    let slot = offset_of!(Page, slots) + index * size_of::<Slot>();
    let clock = i32::from_ne_bytes(bytes(page, slot + offset_of!(Slot, clock)));
    let wanted = time(page, slot + offset_of!(Slot, wanted));
    let taken = bytes(page, slot + offset_of!(Slot, owner)) != [0; 4];
    if let Some(offset) = machine::of(&offsets, clock).filter(|_| taken && wanted.is_valid()) {
        put_time(page, slot + offset_of!(Slot, given), wanted.on_machine(offset));
    }
}

/// What programs are told in place of the numbers that files have here; nothing by a page of the layout before.
///
/// # Errors
/// [`PageError`].
pub fn renumbered(page: &[u8]) -> Result<Vec<Number>, PageError> {
    check(page)?;
    if page.len() == BYTES_BEFORE {
        return Ok(Vec::new());
    }
    let count = u64::from_ne_bytes(bytes(page, TABLE + offset_of!(Renumbered, count))) as usize;
    Ok((0..count.min(NUMBERS)).map(|index| number_at(page, index)).collect())
}

/// The same page with these, which are in order, in place of those that it has.
#[must_use]
pub fn renumber(mut page: Vec<u8>, numbers: &[Number]) -> Vec<u8> {
    if page.len() == BYTES_BEFORE {
        return page;
    }
    page[TABLE..].fill(0);
    put(&mut page, TABLE + offset_of!(Renumbered, count), (numbers.len() as u64).to_ne_bytes());
    for (index, number) in numbers.iter().enumerate() {
        for (field, at) in [
            (number.device, offset_of!(Number, device)),
            (number.here, offset_of!(Number, here)),
            (number.told, offset_of!(Number, told)),
        ] {
            put(&mut page, entry(index) + at, field.to_ne_bytes());
        }
    }
    page
}

fn number_at(page: &[u8], index: usize) -> Number {
    let field = |at| u64::from_ne_bytes(bytes(page, entry(index) + at));
    Number {
        device: field(offset_of!(Number, device)),
        here: field(offset_of!(Number, here)),
        told: field(offset_of!(Number, told)),
    }
}

fn entry(index: usize) -> usize {
    TABLE + offset_of!(Renumbered, numbers) + index * size_of::<Number>()
}

fn check(page: &[u8]) -> Result<(), PageError> {
    let magic = page.first_chunk().copied().map(u64::from_ne_bytes);
    match (magic, page.len()) {
        (Some(MAGIC), BYTES) | (Some(MAGIC_BEFORE), BYTES_BEFORE) => Ok(()),
        (None | Some(MAGIC | MAGIC_BEFORE), found) => Err(PageError::Size { found }),
        _ => Err(PageError::Layout { found: String::from_utf8_lossy(&page[..8]).into_owned() }),
    }
}

fn offset_at(clock: i32) -> usize {
    offset_of!(Page, offsets) + clock as usize * size_of::<Time>()
}

fn time(page: &[u8], at: usize) -> Time {
    Time {
        seconds: number(page, at + offset_of!(Time, seconds)),
        nanoseconds: number(page, at + offset_of!(Time, nanoseconds)),
    }
}

fn put_time(page: &mut [u8], at: usize, time: Time) {
    put(page, at + offset_of!(Time, seconds), time.seconds.to_ne_bytes());
    put(page, at + offset_of!(Time, nanoseconds), time.nanoseconds.to_ne_bytes());
}

fn number(page: &[u8], at: usize) -> i64 {
    i64::from_ne_bytes(bytes(page, at))
}

fn bytes<const N: usize>(page: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| page[at + i])
}

fn put<const N: usize>(page: &mut [u8], at: usize, value: [u8; N]) {
    page[at..at + N].copy_from_slice(&value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400 * layout::NANOSECONDS;

    fn uniform(nanoseconds: i64) -> Clocks {
        Clocks {
            monotonic: nanoseconds,
            monotonic_raw: nanoseconds,
            boottime: nanoseconds,
            ticks: nanoseconds / 10_000_000,
        }
    }

    fn slot(page: &mut [u8], index: usize, clock: i32, wanted: Time) -> usize {
        let at = offset_of!(Page, slots) + index * size_of::<Slot>();
        put(page, at + offset_of!(Slot, owner), 300_u32.to_ne_bytes());
        put(page, at + offset_of!(Slot, clock), clock.to_ne_bytes());
        put_time(page, at + offset_of!(Slot, wanted), wanted);
        at + offset_of!(Slot, given)
    }

    #[test]
    fn clocks_go_on_over_any_number_of_moves() {
        let mut page = fresh();
        // Younger, older, younger; an hour passes in each place.
        for (then, now) in [(50 * DAY, 1), (DAY, 400 * DAY), (401 * DAY, 7)] {
            let program = offsets(&page).unwrap().plus(uniform(then));
            page = rebase(&page, uniform(then), uniform(now)).unwrap();
            assert_eq!(offsets(&page).unwrap().plus(uniform(now)), program);
        }
        assert_eq!(number(&page, offset_of!(Page, moves)), 3);
    }

    #[test]
    fn each_clock_keeps_its_own_pace() {
        let then = Clocks { monotonic: 100, monotonic_raw: 90, boottime: 500, ticks: 7 };
        let now = Clocks { monotonic: 3, monotonic_raw: 4, boottime: 5, ticks: 6 };
        let page = rebase(&fresh(), then, now).unwrap();
        assert_eq!(
            offsets(&page).unwrap(),
            Clocks { monotonic: 97, monotonic_raw: 86, boottime: 495, ticks: 1 }
        );
        assert_eq!(time(&page, offset_at(layout::MONOTONIC_COARSE)).nanoseconds, 97);
        assert_eq!(time(&page, offset_at(layout::BOOTTIME_ALARM)).nanoseconds, 495);
        assert_eq!(time(&page, offset_at(layout::REALTIME)), Time::default());
    }

    #[test]
    fn a_wait_ends_when_it_would_have_by_the_programs_clock() {
        let mut page = fresh();
        let wanted = Time { seconds: 86_405, nanoseconds: 250_000_000 };
        let given = slot(&mut page, 17, layout::MONOTONIC, wanted);
        let older = rebase(&page, uniform(DAY), uniform(10 * layout::NANOSECONDS)).unwrap();
        assert_eq!(time(&older, given), Time { seconds: 15, nanoseconds: 250_000_000 });
        let back = rebase(&older, uniform(10 * layout::NANOSECONDS), uniform(DAY)).unwrap();
        assert_eq!(time(&back, given), wanted);
    }

    #[test]
    fn a_wait_that_was_over_ends_at_once_and_one_for_ever_lasts() {
        let mut page = fresh();
        let over = slot(&mut page, 0, layout::BOOTTIME, Time { seconds: 5, nanoseconds: 0 });
        let forever =
            slot(&mut page, SLOTS - 1, layout::MONOTONIC, Time { seconds: i64::MAX, nanoseconds: 0 });
        let ahead = rebase(&page, uniform(DAY), uniform(0)).unwrap();
        assert_eq!(time(&ahead, over), Time { seconds: 0, nanoseconds: 1 });
        let behind = rebase(&page, uniform(0), uniform(DAY)).unwrap();
        assert_eq!(time(&behind, forever).seconds, i64::MAX);
    }

    #[test]
    fn nothing_but_taken_slots_of_these_clocks_is_changed() {
        let mut page = fresh();
        let real = slot(&mut page, 1, layout::REALTIME, Time { seconds: 1_800_000_000, nanoseconds: 0 });
        let free = slot(&mut page, 2, layout::MONOTONIC, Time { seconds: 9, nanoseconds: 0 });
        put(&mut page, free - offset_of!(Slot, given) + offset_of!(Slot, owner), 0_u32.to_ne_bytes());
        let moved = rebase(&page, uniform(DAY), uniform(0)).unwrap();
        assert_eq!(time(&moved, real), Time::default());
        assert_eq!(time(&moved, free), Time::default());
    }

    #[test]
    fn a_page_of_the_layout_before_goes_on_and_stays_as_long_as_it_was() {
        let mut before = fresh()[..BYTES_BEFORE].to_vec();
        put(&mut before, 0, MAGIC_BEFORE.to_ne_bytes());
        let moved = renumber(rebase(&before, uniform(DAY), uniform(0)).unwrap(), &[ONE]);
        assert_eq!((moved.len(), offsets(&moved).unwrap().monotonic), (BYTES_BEFORE, DAY));
        assert_eq!(renumbered(&moved).unwrap(), []);
    }

    const ONE: Number = Number { device: 7, here: 12, told: 99 };

    #[test]
    fn the_numbers_of_a_move_take_the_place_of_those_of_the_one_before() {
        let other = Number { device: 8, ..ONE };
        let page = renumber(fresh(), &[ONE, other]);
        assert_eq!(renumbered(&page).unwrap(), [ONE, other]);
        assert_eq!(renumbered(&renumber(page, &[other])).unwrap(), [other]);
        assert_eq!(renumber(renumber(fresh(), &[ONE]), &[]), fresh());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let cut = rebase(&fresh()[..100], uniform(0), uniform(0)).unwrap_err().to_string();
        assert!(cut.contains("100 bytes"), "{cut}");
        let mut other = fresh();
        other[7] = b'9';
        let layout = rebase(&other, uniform(0), uniform(0)).unwrap_err().to_string();
        assert!(layout.contains("crikclk9"), "{layout}");
    }
}
