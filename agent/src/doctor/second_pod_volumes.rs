//! The volumes of a trial's second pod: what lasts longer than a pod is mounted read-only, and where the program changes something of it, an
//! empty directory stands in for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Where volumes are that something stands in for.
const ASIDE: &str = "/crik-trial";

/// Kinds that are the pod's own, or that nobody can write to.
const OWN: [&str; 4] = ["emptyDir", "configMap", "secret", "downwardAPI"];

/// What of an image decides how they are mounted.
#[derive(Debug, Default)]
pub struct Files {
    /// Files of volumes that the program has open.
    pub open: BTreeSet<PathBuf>,
    /// What it may change, or makes anew, of what has a name.
    pub changed: BTreeSet<PathBuf>,
}

/// One that the container mounts.
struct Mounted<'a> {
    mount: &'a Value,
    volume: &'a Value,
    at: PathBuf,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is the pod's own, as in the first.
    Own,
    /// Its contents go with the first pod, so it is empty here.
    Empty,
    /// It is the node's, and the program has nothing of it open: it may have sockets, which nothing keeps a copy from.
    OfNode,
    /// It has only files that a kubelet makes, and no token.
    Projected,
    /// It is the first pod's.
    ReadOnly,
    /// The same, and something stands in for it.
    StoodIn,
}

/// All that the container mounts.
pub struct Volumes<'a>(Vec<Mounted<'a>>);

impl<'a> Volumes<'a> {
    /// Those of a container.
    pub fn of(pod: &'a Value, container: &'a Value, files: &Files) -> Self {
        let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
        let mounts = container["volumeMounts"].as_array().map_or(&[][..], Vec::as_slice);
        let found = mounts.iter().filter_map(|mount| {
            let volume = volumes.iter().find(|one| one["name"] == mount["name"])?;
            Some(Mounted { mount, volume, at: mount["mountPath"].as_str()?.into(), fate: fate(volume) })
        });
        let mut all = Self(found.collect());
        all.become_of(&files.open, Fate::OfNode, Fate::ReadOnly);
        all.become_of(&files.changed, Fate::ReadOnly, Fate::StoodIn);
        all
    }

    /// What of these paths is on a volume of the one fate gives it the other.
    fn become_of(&mut self, paths: &BTreeSet<PathBuf>, before: Fate, after: Fate) {
        for path in paths {
            let at = self.holder(path).filter(|one| one.fate == before).map(|one| one.at.clone());
            self.0.iter_mut().filter(|one| Some(&one.at) == at.as_ref()).for_each(|one| one.fate = after);
        }
    }

    fn holder(&self, path: &Path) -> Option<&Mounted<'a>> {
        self.0.iter().filter(|one| path.starts_with(&one.at)).max_by_key(|one| one.at.components().count())
    }

    /// Where a path of the first pod's volumes is in the second.
    pub fn in_second_pod(&self, path: &Path) -> Option<PathBuf> {
        let one = self.holder(path)?;
        match one.fate {
            Fate::ReadOnly => Some(path.to_owned()),
            Fate::StoodIn => Some(self.aside(one).join(path.strip_prefix(&one.at).ok()?)),
            _ => None,
        }
    }

    /// From where and at what path something is put that stands in for a volume.
    pub fn stood_in(&self) -> impl Iterator<Item = (PathBuf, &Path)> {
        let one = self.0.iter().filter(|one| one.fate == Fate::StoodIn);
        one.map(|one| (self.aside(one), one.at.as_path()))
    }

    fn number(&self, one: &Mounted<'_>) -> usize {
        self.0.iter().take_while(|other| other.at != one.at).count()
    }

    fn aside(&self, one: &Mounted<'_>) -> PathBuf {
        Path::new(ASIDE).join(self.number(one).to_string())
    }

    fn stand_in(&self, one: &Mounted<'_>) -> String {
        format!("crik-trial-{}", self.number(one))
    }

    /// What the container mounts.
    pub fn mounts(&self) -> Vec<Value> {
        self.0.iter().flat_map(|one| self.mounts_of(one)).collect()
    }

    fn mounts_of(&self, one: &Mounted<'_>) -> Vec<Value> {
        let at = |path: &Path, read_only: bool| {
            let mut mount = json!({"name": one.mount["name"], "mountPath": path, "readOnly": read_only});
            for key in ["subPath", "subPathExpr"] {
                one.mount.get(key).into_iter().for_each(|value| mount[key] = value.clone());
            }
            mount
        };
        match one.fate {
            Fate::Own | Fate::Empty | Fate::OfNode => vec![at(&one.at, one.mount["readOnly"] == true)],
            Fate::Projected | Fate::ReadOnly => vec![at(&one.at, true)],
            Fate::StoodIn => {
                let stand_in = json!({"name": self.stand_in(one), "mountPath": one.at});
                vec![stand_in, at(&self.aside(one), true)]
            }
        }
    }

    /// What the pod has.
    pub fn all(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for one in &self.0 {
            let name = &one.volume["name"];
            let volume = match one.fate {
                Fate::Empty | Fate::OfNode => json!({"name": name, "emptyDir": {}}),
                Fate::Projected => without_tokens(one.volume),
                _ => one.volume.clone(),
            };
            if !all.contains(&volume) {
                all.push(volume);
            }
            if one.fate == Fate::StoodIn {
                all.push(json!({"name": self.stand_in(one), "emptyDir": {}}));
            }
        }
        all
    }

    /// Whether there are claims besides the one of the checkpoints, which may be such that only pods on one node mount.
    pub fn may_be_of_one_node(&self) -> bool {
        let claims: BTreeSet<&str> = self
            .0
            .iter()
            .filter_map(|one| one.volume["persistentVolumeClaim"]["claimName"].as_str())
            .collect();
        claims.len() > 1
    }
}

fn fate(volume: &Value) -> Fate {
    match volume {
        _ if OWN.iter().any(|kind| volume.get(kind).is_some()) => Fate::Own,
        _ if volume.get("projected").is_some() => Fate::Projected,
        _ if volume.get("ephemeral").is_some() => Fate::Empty,
        _ if volume.get("hostPath").is_some() => Fate::OfNode,
        _ => Fate::ReadOnly,
    }
}

fn without_tokens(volume: &Value) -> Value {
    let mut volume = volume.clone();
    if let Some(sources) = volume["projected"]["sources"].as_array_mut() {
        sources.retain(|source| source.get("serviceAccountToken").is_none());
    }
    volume
}
