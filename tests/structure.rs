//! Modules use each other in one direction: no circle among the children of one module.
//!
//! Each source is read as text. A path such as `crate::pool::Store`, in a `use` or in an expression, is an arrow.
//! It leads from the module that contains it to the module that it names; re-exports are followed. A path between a
//! module and its parent is no arrow. Tests may use any module.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::root;

/// Modules among whose children there is a circle. None may be added.
const KNOWN: [&str; 3] = [
    // A model's properties are functions of the model.
    "model",
    // The end of a group's transaction is part of the queue, and needs the transaction.
    "store",
    // The portions of dates of a rebuild are read as those of a batch.
    "worker::run::group",
];

#[test]
fn modules_of_one_folder_use_each_other_in_one_direction() {
    let mut circles = BTreeMap::new();
    for folder in fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        for (parent, arrows) in Crate::read(&folder.join("src")).arrows() {
            let circular = circular(&arrows);
            if !circular.is_empty() {
                circles.insert([vec![name.clone()], parent].concat().join("::"), circular);
            }
        }
    }
    for known in KNOWN {
        assert!(
            circles.remove(known).is_some(),
            "{known} has no circle any more: take it off KNOWN"
        );
    }
    assert!(circles.is_empty(), "modules use each other in a circle: {circles:#?}");
}

#[test]
fn arrows_follow_use_trees_and_re_exports() {
    let sources = [
        ("lib.rs", "mod a; mod b; mod c; pub use b::Thing;"),
        ("a.rs", "use crate::{Thing, c::{self, d::Deep}}; // use crate::nothing::At;"),
        (
            "b.rs",
            "fn f() { crate::a::g(\"crate::c\"); }\n#[cfg(test)]\nmod tests { use crate::c::X; }",
        ),
        ("c/mod.rs", "mod d; use super::b::Other;"),
        ("c/d.rs", "use super::Own;"),
    ];
    let arrows = Crate::new(sources.map(|(path, text)| (Path::new(path), text))).arrows();
    let expected = [("a", "b"), ("a", "c"), ("b", "a"), ("c", "b")];
    let expected = BTreeSet::from(expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
    assert_eq!(arrows, BTreeMap::from([(vec![], expected.clone())]));
    assert_eq!(circular(&expected), expected);
}

/// The path of a module below its crate.
type Module = Vec<String>;
/// From one child of a module to another.
type Arrows = BTreeSet<(String, String)>;

/// The modules of a crate with the paths that each uses, and the names by which it knows their ends.
struct Crate(BTreeMap<Module, Vec<(Vec<String>, String)>>);

impl Crate {
    fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    files.push((path.clone(), fs::read_to_string(path).unwrap()));
                }
            }
        }
        Self::new(files.iter().map(|(path, text)| (path.strip_prefix(folder).unwrap(), &**text)))
    }

    fn new<'s>(sources: impl IntoIterator<Item = (&'s Path, &'s str)>) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests: Vec<Module> = Vec::new();
        for (path, text) in sources {
            let mut module: Module =
                path.with_extension("").iter().map(|step| step.to_string_lossy().into()).collect();
            module.pop_if(|last| ["lib", "main", "mod"].contains(&last.as_str()));
            let code = code(text);
            for behind in code.split("#[cfg(test)]\nmod ").skip(1) {
                let name = behind.split(';').next().unwrap_or_default();
                tests.push([module.clone(), vec![name.to_owned()]].concat());
            }
            modules.insert(module, paths(&code));
        }
        modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self(modules)
    }

    /// Between the children of each module.
    fn arrows(&self) -> BTreeMap<Module, Arrows> {
        let mut arrows: BTreeMap<Module, Arrows> = BTreeMap::new();
        for (from, paths) in &self.0 {
            for to in paths.iter().filter_map(|(path, _)| self.end(from, path, 0)) {
                let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
                if let (Some(from_child), Some(to_child)) = (from.get(common), to.get(common)) {
                    let arrow = (from_child.clone(), to_child.clone());
                    arrows.entry(from[..common].to_vec()).or_default().insert(arrow);
                }
            }
        }
        arrows
    }

    /// The module of this crate in which a path ends that `from` uses.
    fn end(&self, from: &Module, path: &[String], followed: u32) -> Option<Module> {
        const LONGEST_CHAIN: u32 = 8;
        let mut at = from.clone();
        let mut steps = path;
        match steps.first()?.as_str() {
            "crate" => (at, steps) = (Module::new(), &steps[1..]),
            "self" => steps = &steps[1..],
            "super" => {
                while steps.first().is_some_and(|step| step == "super") {
                    at.pop();
                    steps = &steps[1..];
                }
            }
            child if self.0.contains_key(&[&at[..], &[child.to_owned()]].concat()) => {}
            _ => return None,
        }
        for (number, step) in steps.iter().enumerate() {
            let child = [&at[..], std::slice::from_ref(step)].concat();
            if self.0.contains_key(&child) {
                at = child;
                continue;
            }
            let exported =
                self.0.get(&at).and_then(|paths| paths.iter().find(|path| path.1 == *step));
            let target = exported.filter(|_| followed < LONGEST_CHAIN && at != *from);
            let rest = &steps[number + 1..];
            let end =
                target.and_then(|(path, _)| self.end(&at, &[path, rest].concat(), followed + 1));
            return end.or(Some(at));
        }
        Some(at)
    }
}

/// The arrows from whose end a way leads back to their beginning.
fn circular(arrows: &Arrows) -> Arrows {
    let leads_back = |(from, to): &&(String, String)| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![to]);
        while let Some(at) = next.pop() {
            if reached.insert(at) {
                next.extend(arrows.iter().filter(|arrow| arrow.0 == *at).map(|arrow| &arrow.1));
            }
        }
        reached.contains(from)
    };
    arrows.iter().filter(leads_back).cloned().collect()
}

/// A source without comments, texts, and tests of its own.
fn code(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines() {
        let mut pieces = line.split("//").next().unwrap_or_default().split('"');
        let outside: String = pieces.by_ref().step_by(2).collect();
        code.push_str(&outside);
        code.push('\n');
    }
    match code.split_once("#[cfg(test)]\nmod tests {") {
        Some((before, _)) => before.to_owned(),
        None => code,
    }
}

/// The paths of `use` declarations, and those in other code that begin at `crate`, `super` or `self`.
fn paths(code: &str) -> Vec<(Vec<String>, String)> {
    let mut paths = Vec::new();
    let mut rest = String::new();
    for (number, piece) in code.split("use ").enumerate() {
        match piece.split_once(';') {
            Some((tree, behind)) if number > 0 => {
                expand(tree, &[], &mut paths);
                rest.push_str(behind);
            }
            _ => rest.push_str(piece),
        }
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for word in rest.split(|c| !is_word(c)) {
        let steps: Vec<String> = word.split("::").map(str::to_owned).collect();
        if steps.len() > 1 && ["crate", "super", "self"].contains(&steps[0].as_str()) {
            paths.push((steps, String::new()));
        }
    }
    paths
}

/// Adds the paths of a tree such as `crate::{a::B, c::{self, D as E}}`.
fn expand(tree: &str, before: &[String], paths: &mut Vec<(Vec<String>, String)>) {
    let (mut depth, mut begin) = (0, 0);
    let mut parts = Vec::new();
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[begin..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let (path, inside) = match part.split_once('{') {
            Some((path, inside)) => (path, Some(inside.trim_end().trim_end_matches('}'))),
            None => (part, None),
        };
        let (path, alias) = path.split_once(" as ").unwrap_or((path, ""));
        let steps = path.trim().split("::").filter(|step| !step.is_empty()).map(str::to_owned);
        let mut steps: Vec<String> = before.iter().cloned().chain(steps).collect();
        match inside {
            Some(inside) => expand(inside, &steps, paths),
            None => {
                if before.len() < steps.len() {
                    steps.pop_if(|last| last == "self" && !before.is_empty());
                }
                let last = steps.last().cloned().unwrap_or_default();
                let name = if alias.is_empty() { last } else { alias.trim().to_owned() };
                paths.push((steps, name));
            }
        }
    }
}
