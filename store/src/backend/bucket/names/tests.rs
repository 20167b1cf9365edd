//! What is read from a bucket, where others may have written.

use super::*;

fn some() -> Names {
    let mut names = Names::default();
    names.make_all(&Name::from("holders/00000001"), &[1, 2]).unwrap();
    let blob = Blob { id: "9f".to_owned(), size: 5000 };
    for (file, identity, what) in
        [("pages", 3, What::Blobs(vec![blob])), ("renewed", 4, What::Text("7\n".to_owned()))]
    {
        names.put(&Name::from("holders/00000001").join(file), Entry { identity, what }).unwrap();
    }
    names.note("a-change");
    names
}

#[test]
fn what_is_written_is_read() {
    let names = some();
    assert_eq!(Names::parse(&names.to_json()).unwrap(), names);
    assert_eq!(names.stored(&Name::root()).unwrap(), 5002);
    assert_eq!(names.blobs().into_iter().collect::<Vec<_>>(), ["9f"]);
}

#[test]
fn what_is_no_names_object_is_told_and_never_taken_for_an_empty_one() {
    let json = String::from_utf8(some().to_json()).unwrap();
    for (of, becomes, told) in [
        (json.as_str(), "", "damaged"),
        (json.as_str(), "{}", "damaged"),
        ("\"version\":1", "\"version\":9", "reads up to 1; use the newer crik"),
        ("holders", "..", "damaged: \"..\""),
        ("holders", "a/b", "damaged: \"a/b\""),
        ("pages", "", "damaged: \"\""),
        ("9f", "../../other/names", "damaged: \"../../other/names\""),
    ] {
        let damaged = json.replace(of, becomes);
        let error = Names::parse(damaged.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(told), "{damaged}: {error}");
    }
    let deep = format!(
        "{{\"version\":1,\"latest\":[],\"root\":{}",
        "{\"a\":{\"identity\":1,\"what\":{\"directory\":".repeat(10_000)
    );
    assert!(Names::parse(deep.as_bytes()).is_err());
}

#[test]
fn so_many_changes_are_remembered_and_no_more() {
    let mut names = Names::default();
    for number in 0..=limits::CHANGES_NOTED {
        names.note(&number.to_string());
    }
    assert!(!names.has("0") && names.has("1") && names.has(&limits::CHANGES_NOTED.to_string()));
}
