//! Keeps the clocks that count from the machine's start going on in the next container, where the agent may make no time namespace.
//!
//! Dynamically linked programs are preloaded with a library that is given its offsets by a page which it shares with the agent
//! ([`install`], [`page`]). Others read the clock from the kernel's vDSO and get a stub there ([`vdso_stub`]); which they are is
//! told by what they have mapped ([`coverage`]), or are about to map ([`loading`]).

pub mod coverage;
pub mod facts;
pub mod go_on;
pub mod install;
pub mod loading;
pub mod machine;
pub mod page;
pub mod step_out;
pub mod stub_code;
pub mod vdso;
pub mod vdso_stub;

/// The page as the library sees it.
#[path = "../../../preload/page.rs"]
#[allow(missing_docs, reason = "documented for those who read it there")]
pub mod layout;
