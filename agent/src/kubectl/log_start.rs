//! How a program has started, as the agent's log says: for where no controller takes reports.

/// What is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedStart {
    /// It goes on from this generation (`restore/attempt.rs`).
    Resumed(u64),
    /// It has begun anew (`supervise/start.rs`); the last line before that says why.
    Fresh(String),
}

/// Reads the log, of which the program's own output is a part: what it says counts only once the agent has said nothing, since the agent
/// speaks first.
pub fn of(log: &str) -> Option<LoggedStart> {
    let mut before = "";
    for line in log.lines() {
        let resumed = line.split_once("restored generation ").and_then(|(_, rest)| rest.split_once(';'));
        if let Some(generation) = resumed.and_then(|(number, _)| number.parse().ok()) {
            return Some(LoggedStart::Resumed(generation));
        }
        if line.contains("the application starts fresh") {
            return Some(LoggedStart::Fresh(before.to_owned()));
        }
        before = line;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_lines_are_read_in_both_of_its_formats() {
        let human = "2026-11-23T20:15:34Z  INFO restored generation 00000012; the application goes on step=\"restore\" generation=12\n7\n";
        assert_eq!(of(human), Some(LoggedStart::Resumed(12)));
        let json = r#"{"fields":{"message":"restored generation 00000003; the application goes on","step":"restore"}}"#;
        assert_eq!(of(json), Some(LoggedStart::Resumed(3)));
    }

    #[test]
    fn a_fresh_start_is_told_with_what_was_said_before_it() {
        let log =
            "looking\ngeneration 3 is skipped: altered\nINFO the application starts fresh step=\"start\"\n";
        assert_eq!(of(log), Some(LoggedStart::Fresh("generation 3 is skipped: altered".to_owned())));
    }

    #[test]
    fn a_log_that_says_neither_is_no_news() {
        assert_eq!(of("resuming generation 00000012: 5 MB\nrestored generation of heroes; a game\n"), None);
    }
}
