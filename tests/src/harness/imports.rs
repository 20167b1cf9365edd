//! Which file of a crate imports what from which, as its source says; what is compiled for tests only is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The files of a crate by their path below `src`, with their text.
pub type Files = BTreeMap<String, String>;

/// One path in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The file that has it.
    pub from: String,
    /// The file where what it names is defined, behind all `pub use` on the way.
    pub to: String,
    /// The name, from the crate's root.
    pub name: String,
    /// True if the file only hands it on by `pub use`.
    pub hands_on: bool,
}

/// All files of a crate; `main.rs` is one of its own if there is a `lib.rs`.
///
/// # Errors
/// The directory cannot be read.
pub fn read(src: &Path) -> Result<Files> {
    let (mut files, mut directories) = (Files::new(), vec![src.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(src)?.to_string_lossy().into_owned();
                files.insert(name, fs::read_to_string(&path)?);
            }
        }
    }
    if files.contains_key("lib.rs") {
        files.remove("main.rs");
    }
    Ok(files)
}

/// All that the files import from each other.
pub fn imports(files: &Files) -> Vec<Import> {
    let sources: Vec<Source> = files.iter().map(|(name, text)| Source::read(name, text)).collect();
    let for_tests: BTreeSet<&Vec<String>> = sources.iter().flat_map(|source| &source.test_modules).collect();
    let is_for_tests = |module: &Vec<String>| {
        module.last().is_some_and(|name| name == "tests")
            || for_tests.iter().any(|test| module.starts_with(test))
    };
    let house = House(
        sources.iter().filter(|source| !is_for_tests(&source.module)).map(|one| (&one.module, one)).collect(),
    );
    let mut found: Vec<Import> = house.0.values().flat_map(|source| house.imports_of(source)).collect();
    found.dedup();
    found
}

/// A file, read.
struct Source {
    file: String,
    module: Vec<String>,
    uses: Vec<Use>,
    test_modules: Vec<Vec<String>>,
}

/// A path in a file, from the crate's root.
struct Use {
    path: Vec<String>,
    /// The name that a `pub use` gives to it.
    handed_on_as: Option<String>,
    /// False for a `pub use` whose name the file itself does not need.
    used: bool,
}

impl Source {
    fn read(file: &str, text: &str) -> Self {
        let module = module(file);
        let (tokens, tests) = without_tests(&tokens(text));
        let test_modules = tests.into_iter().map(|name| [module.clone(), vec![name]].concat()).collect();
        let uses = Scan::new(&module, &tokens).uses();
        Self { file: file.to_owned(), module, uses, test_modules }
    }
}

/// `store/hold.rs` and `store/hold/mod.rs` are the module store, hold; the crate's root is the empty one.
fn module(file: &str) -> Vec<String> {
    let parts = file.trim_end_matches(".rs").split('/').map(str::to_owned);
    let is_root = |part: &String| ["lib", "main"].contains(&part.as_str()) && !file.contains('/');
    parts.filter(|part| part != "mod" && !is_root(part)).collect()
}

/// All files by their module.
struct House<'a>(BTreeMap<&'a Vec<String>, &'a Source>);

impl House<'_> {
    fn imports_of(&self, source: &Source) -> Vec<Import> {
        let elsewhere = |one: &Use| {
            let to = self.definition(&one.path, 0)?;
            let import = Import {
                from: source.file.clone(),
                to: to.file.clone(),
                name: one.path.join("::"),
                hands_on: !one.used,
            };
            (import.from != import.to).then_some(import)
        };
        source.uses.iter().filter_map(elsewhere).collect()
    }

    /// The file in which what this path names is defined.
    fn definition(&self, path: &[String], handed_on: usize) -> Option<&Source> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length].to_vec()))?;
        let source = self.0.get(&path[..length].to_vec())?;
        let name = path.get(length);
        let next = source.uses.iter().find(|one| name.is_some() && one.handed_on_as.as_ref() == name);
        // Two names may be handed on to each other, which does not compile.
        match next.filter(|one| handed_on < 8 && one.path != path) {
            Some(one) => self.definition(&[&one.path, &path[length + 1..]].concat(), handed_on + 1),
            None => Some(source),
        }
    }
}

/// Looks for paths in a file.
struct Scan<'a> {
    tokens: &'a [String],
    at: usize,
    /// The module that the tokens here are in, with those that are written in the file.
    module: Vec<String>,
    /// At which depths of braces modules began that are written in the file.
    inline: Vec<usize>,
    depth: usize,
    children: BTreeSet<&'a str>,
}

impl<'a> Scan<'a> {
    fn new(module: &[String], tokens: &'a [String]) -> Self {
        let declared = tokens.windows(3).filter(|three| three[0] == "mod" && three[2] == ";");
        Self {
            tokens,
            at: 0,
            module: module.to_vec(),
            inline: Vec::new(),
            depth: 0,
            children: declared.map(|three| three[1].as_str()).collect(),
        }
    }

    fn token(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn uses(mut self) -> Vec<Use> {
        let (mut found, mut handed_on) = (Vec::new(), false);
        while self.at < self.tokens.len() {
            match self.token(0) {
                "mod" if self.token(2) == "{" => {
                    self.inline.push(self.depth);
                    self.module.push(self.token(1).to_owned());
                    self.at += 1;
                }
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inline.pop_if(|began| *began == self.depth).is_some() {
                        self.module.pop();
                    }
                }
                "use" => handed_on = self.is_public(),
                ";" => handed_on = false,
                _ if self.begins_a_path() => {
                    let mut paths = Vec::new();
                    let prefix = self.module.clone();
                    self.tree(prefix, &mut paths);
                    found.extend(paths.into_iter().map(|(path, name)| self.made(path, name, handed_on)));
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        found
    }

    /// True for a `use` after `pub` or `pub(…)`.
    fn is_public(&self) -> bool {
        let before = self.tokens[..self.at].iter().rev().take(4).map(String::as_str);
        before.take_while(|token| !["", ";", "}", "{", "]"].contains(token)).any(|token| token == "pub")
    }

    fn begins_a_path(&self) -> bool {
        let first = self.token(0);
        let before = self.at.checked_sub(1).map_or("", |before| self.tokens[before].as_str());
        self.token(1) == "::"
            && before != "::"
            && (["crate", "super", "self"].contains(&first) || self.children.contains(first))
    }

    /// Takes a path, or a group of them, with what is before it.
    fn tree(&mut self, mut path: Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
        loop {
            match self.token(0) {
                "crate" => path.clear(),
                "super" => drop(path.pop()),
                "self" | "*" => {}
                "{" => return self.group(&path, found),
                name => path.push(name.to_owned()),
            }
            self.at += 1;
            if self.token(0) != "::" || self.token(1) == "<" {
                break;
            }
            self.at += 1;
        }
        let renamed = self.token(0) == "as";
        let name = if renamed { self.token(1) } else { path.last().map_or("", String::as_str) };
        let name = name.to_owned();
        self.at += if renamed { 2 } else { 0 };
        found.push((path, name));
    }

    fn group(&mut self, path: &[String], found: &mut Vec<(Vec<String>, String)>) {
        self.at += 1;
        while !["}", ""].contains(&self.token(0)) {
            match self.token(0) {
                "," => self.at += 1,
                _ => self.tree(path.to_vec(), found),
            }
        }
        self.at += 1;
    }

    fn made(&self, path: Vec<String>, name: String, handed_on: bool) -> Use {
        let used = !handed_on || self.tokens.iter().filter(|token| **token == name).count() > 1;
        Use { path, handed_on_as: handed_on.then_some(name), used }
    }
}

/// Leaves out what follows `#[cfg(test)]`; returns the modules in files of their own too that it is written on.
fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules, mut rest) = (Vec::new(), Vec::new(), tokens);
    while let Some((first, after)) = rest.split_first() {
        if !TEST.iter().eq(rest.iter().take(TEST.len())) {
            kept.push(first.clone());
            rest = after;
            continue;
        }
        let (item, after) = rest.split_at(TEST.len() + item_length(&rest[TEST.len()..]));
        if let [.., keyword, name, end] = item
            && (keyword.as_str(), end.as_str()) == ("mod", ";")
        {
            modules.push(name.clone());
        }
        rest = after;
    }
    (kept, modules)
}

/// How many tokens an item has: up to a semicolon, or to the end of its braces.
fn item_length(tokens: &[String]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" if depth == 0 => return index,
            "}" if depth == 1 => return index + 1,
            "}" | ")" | "]" => depth -= 1,
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The words and signs of a source, without comments, strings and characters.
fn tokens(source: &str) -> Vec<String> {
    let (mut rest, mut found) = (source, Vec::new());
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (length, is_token) = match silent(rest) {
            Some(length) => (length, false),
            None if word > 0 => (word, true),
            None if rest.starts_with("::") => (2, true),
            None => (first.len_utf8(), !first.is_whitespace() && first != '\''),
        };
        let (token, after) = rest.split_at(length);
        if is_token {
            found.push(token.to_owned());
        }
        rest = after;
    }
    found
}

/// The length of the comment, string or character that a text begins with.
fn silent(text: &str) -> Option<usize> {
    let until =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return Some(until("\n", 2));
    }
    if text.starts_with("/*") {
        return Some(until("*/", 2));
    }
    let quoted = text.trim_start_matches(['b', 'c']);
    let before = text.len() - quoted.len();
    if let Some(raw) = quoted.strip_prefix('r')
        && let hashes = raw.len() - raw.trim_start_matches('#').len()
        && raw[hashes..].starts_with('"')
    {
        return Some(until(&format!("\"{}", "#".repeat(hashes)), before + 1 + hashes + 1));
    }
    if before <= 1 && quoted.starts_with('"') {
        return Some(before + escaped(quoted, '"'));
    }
    let character = quoted.strip_prefix('\'')?;
    let is_character = character.starts_with('\\') || character.chars().nth(1) == Some('\'');
    (before <= 1 && is_character).then(|| before + escaped(quoted, '\''))
}

/// The length of what ends with the next such mark before which there is no backslash.
fn escaped(text: &str, mark: char) -> usize {
    let mut after_backslash = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if after_backslash => after_backslash = false,
            '\\' => after_backslash = true,
            _ if c == mark => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}
