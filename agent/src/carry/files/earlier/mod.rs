//! Puts back what generations of earlier releases have: each file under its name in a directory of the generation.

mod copy;
mod put_back;
#[cfg(test)]
mod save;

pub use copy::{CopyError, copy};
pub use put_back::put_back;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use crik_store::generation::contents::Attributes;

    use super::copy::below;
    use super::*;
    use crate::base::headway::Headway;
    use crate::carry::files::earlier::save::save;

    #[test]
    fn modes_times_links_and_empty_directories_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let (source, store) = (dir.path().join("data"), dir.path().join("store"));
        fs::create_dir_all(source.join("empty")).unwrap();
        fs::write(source.join("secret"), "s").unwrap();
        fs::set_permissions(source.join("secret"), Permissions::from_mode(0o4710)).unwrap();
        symlink("secret", source.join("link")).unwrap();
        let then = fs::metadata(source.join("secret")).unwrap();

        let saved = save(&[source.clone(), dir.path().join("missing")], &store).unwrap();
        assert_eq!(saved, std::slice::from_ref(&source));
        fs::remove_dir_all(&source).unwrap();
        put_back(&saved, &store, None, &Headway::default()).unwrap();

        let now = fs::metadata(source.join("secret")).unwrap();
        assert_eq!(
            (now.mode(), now.mtime(), now.mtime_nsec()),
            (then.mode(), then.mtime(), then.mtime_nsec())
        );
        assert_eq!(fs::read_link(source.join("link")).unwrap(), Path::new("secret"));
        assert!(source.join("empty").is_dir());
    }

    #[test]
    fn what_the_manifest_tells_counts_and_not_what_the_volume_has_made_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (source, store) = (dir.path().join("data"), dir.path().join("files"));
        fs::write(&source, "s").unwrap();
        fs::set_permissions(&source, Permissions::from_mode(0o640)).unwrap();
        let saved = save(std::slice::from_ref(&source), &store).unwrap();
        let meta = fs::metadata(below(&store, &source)).unwrap();
        let name = below(Path::new("files"), &source).display().to_string();
        let attributes = Attributes { mode: meta.mode(), uid: meta.uid(), gid: meta.gid(), link: None };
        let told = [(name, attributes)].into();
        // As the kubelet does for an fsGroup.
        fs::set_permissions(below(&store, &source), Permissions::from_mode(0o666)).unwrap();
        put_back(&saved, &store, Some(&told), &Headway::default()).unwrap();
        assert_eq!(fs::metadata(&source).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn no_link_that_is_put_back_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, victim) = (dir.path().join("files"), dir.path().join("victim"));
        let at = |name: &str| dir.path().join("container").join(name);
        fs::create_dir_all(at("")).unwrap();
        fs::create_dir_all(&victim).unwrap();
        fs::write(victim.join("passwd"), "root").unwrap();
        // A directory that was one before, and a file below what has become a link.
        let linked = below(&store, &at("a"));
        fs::create_dir_all(linked.parent().unwrap()).unwrap();
        symlink(&victim, &linked).unwrap();
        assert!(put_back(&[at("a"), at("a/passwd")], &store, None, &Headway::default()).is_err());
        assert_eq!(fs::read_to_string(victim.join("passwd")).unwrap(), "root");
        // A file over a link that the container has.
        symlink(victim.join("passwd"), at("b")).unwrap();
        fs::write(below(&store, &at("b")), "evil").unwrap();
        put_back(&[at("b")], &store, None, &Headway::default()).unwrap();
        assert_eq!(fs::read_to_string(victim.join("passwd")).unwrap(), "root");
        assert_eq!(fs::read_to_string(at("b")).unwrap(), "evil");
    }
}
