//! A part of a text: a page of it, or the nodes in some states. It is put together while it is sent, a portion at a time, so
//! that any number of different ones costs no more than as many readers of the whole.

use std::mem::{replace, take};
use std::ops::Range;
use std::sync::Arc;

use axum::body::Bytes;
use crik_api::NodeState;

use super::written::Written;
use super::{Page, Parts, Text, Withdrawn};
use crate::base::limits;

/// Which part is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// None from the first node on.
    pub page: Option<Page>,
    /// None for all that are left.
    pub limit: Option<usize>,
    /// None for all.
    pub states: Option<Vec<NodeState>>,
}

/// The part of one text.
pub struct Selection {
    text: Arc<Text>,
    states: Option<Vec<NodeState>>,
    /// The nodes that are left.
    nodes: Range<usize>,
    /// What is left to stand before the first node, between two, and behind the last.
    around: (Vec<u8>, &'static [u8], Vec<u8>),
    length: usize,
    /// Where the next page begins, if there is one.
    pub next: Option<Page>,
}

impl Selection {
    /// Of a text. None if that has no such page.
    ///
    /// # Errors
    /// The text was withdrawn.
    pub fn new(text: Arc<Text>, wanted: Wanted) -> Result<Option<Self>, Withdrawn> {
        let written = text.written()?;
        let from = wanted.page.map_or(0, |page| page.from);
        if wanted.page.is_some() && from >= written.nodes() {
            return Ok(None);
        }
        let (length, end) = measured(&written, from, &wanted);
        let nodes = from..end.unwrap_or(written.nodes());
        let next = end.map(|from| Page { version: text.version, from });
        let around = (br#"{"nodes":["#.to_vec(), b"".as_slice(), end_of_list(next));
        let length = around.0.len() + length + around.2.len();
        Ok(Some(Self { text, states: wanted.states, nodes, around, length, next }))
    }
}

/// How many bytes the nodes have, with what stands between them, and where the next page begins.
fn measured(written: &Written, from: usize, wanted: &Wanted) -> (usize, Option<usize>) {
    let mut chosen = written.chosen(from..written.nodes(), wanted.states.as_deref());
    let page = chosen.by_ref().take(wanted.limit.unwrap_or(usize::MAX));
    let length = page.map(|(_, text)| text.len() + 1).sum::<usize>();
    (length.saturating_sub(1), chosen.next().map(|(number, _)| number))
}

fn end_of_list(next: Option<Page>) -> Vec<u8> {
    next.map_or_else(|| b"]}".to_vec(), |page| format!("],\"continue\":\"{page}\"}}").into_bytes())
}

impl Parts for Selection {
    fn length(&self) -> usize {
        self.length
    }

    fn next(&mut self) -> Result<Option<Bytes>, Withdrawn> {
        let written = self.text.written()?;
        let mut portion = take(&mut self.around.0);
        let mut left = written.chosen(self.nodes.clone(), self.states.as_deref());
        while portion.len() < limits::PORTION
            && let Some((number, text)) = left.next()
        {
            portion.extend_from_slice(replace(&mut self.around.1, b","));
            portion.extend_from_slice(text);
            self.nodes.start = number + 1;
        }
        if portion.len() < limits::PORTION {
            portion.append(&mut self.around.2);
        }
        Ok((!portion.is_empty()).then(|| portion.into()))
    }
}
