//! A node's JSON with holes for what is each node's own: to write it anew for each of 50,000 takes a minute.

use serde_json::{Value, json};

use super::node;

/// What is a node's own.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its number in the fleet.
    pub number: usize,
    /// Its resource version.
    pub version: u64,
    /// Whether it is cordoned.
    pub cordoned: bool,
}

/// What stands for it in the text.
const NAME: &str = "@name@";
const UID: &str = "@uid@";
const VERSION: &str = "@version@";
const CORDONED: &str = "\"@cordoned@\"";
const HEARTBEAT: &str = "@heartbeat@";
const MARKS: [&str; 5] = [NAME, UID, VERSION, CORDONED, HEARTBEAT];

/// Pieces of text, each with the mark that comes behind it; none behind the last.
pub struct Template(Vec<(String, &'static str)>);

impl Template {
    /// Of the node of this number, which is something more.
    pub fn new(number: usize, more: impl Fn(&mut Value)) -> Self {
        let mut node = node::node(number);
        more(&mut node);
        node["metadata"]["uid"] = json!(UID);
        node["metadata"]["resourceVersion"] = json!(VERSION);
        node["spec"]["unschedulable"] = json!("@cordoned@");
        node["status"]["conditions"] = node::conditions(HEARTBEAT);
        let text = node.to_string().replace(&node::name(number), NAME);
        Self(pieces(&text))
    }

    /// The JSON of a node.
    pub fn fill(&self, member: &Member) -> String {
        let Member { number, version, cordoned } = *member;
        let second = version % 86_400;
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        let (name, heartbeat) = (node::name(number), format!("2026-01-02T{h:02}:{m:02}:{s:02}Z"));
        let mut text = String::with_capacity(32 << 10);
        for (piece, mark) in &self.0 {
            text.push_str(piece);
            match *mark {
                NAME => text.push_str(&name),
                UID => text.push_str(&format!("5b1e9c2a-0000-4000-8000-{number:012x}")),
                VERSION => text.push_str(&version.to_string()),
                CORDONED => text.push_str(&cordoned.to_string()),
                HEARTBEAT => text.push_str(&heartbeat),
                _ => {}
            }
        }
        text
    }
}

fn pieces(mut text: &str) -> Vec<(String, &'static str)> {
    let mut pieces = Vec::new();
    while let Some((at, mark)) = MARKS.iter().filter_map(|mark| Some((text.find(mark)?, *mark))).min() {
        pieces.push((text[..at].to_owned(), mark));
        text = &text[at + mark.len()..];
    }
    pieces.push((text.to_owned(), ""));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_tells_is_a_node_with_what_has_changed() {
        let template = Template::new(7, |node| node["spec"]["more"] = json!(true));
        let text = template.fill(&Member { number: 39, version: 42, cordoned: true });
        let node: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(node["metadata"]["resourceVersion"], "42");
        assert_eq!(node["spec"]["unschedulable"], true);
        assert_eq!(node["spec"]["more"], true);
        assert_eq!(node["status"]["conditions"][0]["lastHeartbeatTime"], "2026-01-02T00:00:42Z");
        assert_eq!(node["metadata"]["name"], node::name(39));
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], node::name(39));
    }
}
