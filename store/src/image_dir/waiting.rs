//! What a pod that waits for the image directory has seen of its holder: it outlasts the pod's containers, which a liveness probe may
//! end while they wait.

use std::io;

use serde::{Deserialize, Serialize};

use crate::image_dir::ImageDir;
use crate::image_dir::json::to_json;
use crate::image_dir::names::holders;
use crate::image_dir::pod::Pod;

/// How the record of a pod is called, among the holds. Whoever takes the image directory removes it.
pub(super) const RECORD: &str = "waiting-";

/// What was seen of a holder, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waited {
    /// The hold's number.
    pub number: u64,
    /// Its last sign of life.
    pub renewed: Vec<u8>,
    /// For how long that has been the last one while somebody looked, in milliseconds.
    pub silent_ms: u64,
    /// For how long it was waited for, in milliseconds.
    pub waited_ms: u64,
}

impl Waited {
    /// Reads the contents of its file.
    ///
    /// # Errors
    /// They are not those of one.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

impl ImageDir {
    /// What an earlier container of `pod` has seen; nothing if there was none, or if that cannot be read: then the wait begins anew.
    pub fn waited(&self, pod: &Pod) -> Option<Waited> {
        let name = name(pod)?;
        let bytes = self.read_small(&holders().join(&format!("{name}.json"))).ok()?;
        Waited::parse(&bytes?).ok()
    }

    /// Notes it for the next container of `pod`. It need not outlast the node, on which no other container will wait then.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn note_waited(&self, pod: &Pod, waited: &Waited) -> io::Result<()> {
        let Some(name) = name(pod) else { return Ok(()) };
        let [partial, whole] = ["partial", "json"].map(|end| holders().join(&format!("{name}.{end}")));
        self.backend().write(&partial, &to_json(waited))?;
        self.backend().rename(&partial, &whole)
    }
}

/// None for a pod of which nobody knows whether another one is the same.
fn name(pod: &Pod) -> Option<String> {
    let container = pod.container.as_ref()?.replace('/', "-");
    Some(format!("{RECORD}{container}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_dir::fixture::{everywhere, wish};
    use crate::image_dir::hold::Hold;

    #[test]
    fn the_next_container_of_the_same_pod_knows_and_no_other_does() {
        everywhere(|place| {
            let hold = place.held();
            let (dir, pod) = (hold.dir(), wish("job-1").pod);
            let waited = Waited { number: 1, renewed: b"3\n".to_vec(), silent_ms: 28_000, waited_ms: 29_000 };
            dir.note_waited(&pod, &waited).unwrap();
            assert_eq!(dir.waited(&pod), Some(waited.clone()));
            assert_eq!(dir.waited(&wish("job-2").pod), None);
            let nobody = Pod::default();
            dir.note_waited(&nobody, &waited).unwrap();
            assert_eq!(dir.waited(&nobody), None);
            hold.release();
            Hold::take(dir, &wish("job-1")).unwrap();
            assert_eq!(dir.waited(&pod), None);
        });
    }
}
