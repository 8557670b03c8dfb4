//! Imports between files: no circle anywhere below `src/`.
//!
//! A file depends on another if it names an item that is defined there, by whatever path or re-export. The items of its
//! own ancestor modules do not count: that is nesting.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree};

use super::{Source, assert_none, paths::named_in, program};

/// A module's path from the crate's root: `["cache", "key"]`.
type Module = Vec<String>;

/// The files of the crate as modules.
struct Files {
    modules: BTreeMap<Module, Names>,
}

/// The names at a file's top level.
#[derive(Default)]
struct Names {
    path: String,
    text: String,
    /// Imported and re-exported names, each with its path as written.
    imported: BTreeMap<String, Vec<String>>,
}

impl Files {
    fn new(sources: &[Source]) -> Self {
        let modules = sources.iter().filter(|source| source.path != "src/main.rs").map(|source| {
            let inside = source.path.trim_start_matches("src/").trim_end_matches(".rs");
            let module: Module =
                inside.split('/').filter(|part| *part != "lib").map(str::to_owned).collect();
            let mut names =
                Names { path: source.path.clone(), text: source.text.clone(), ..Names::default() };
            let syntax = syn::parse_file(&source.text).expect("Rust code");
            for item in syntax.items {
                if let Item::Use(item) = item {
                    import(&item.tree, &mut Vec::new(), &mut names.imported);
                }
            }
            (module, names)
        });
        Self { modules: modules.collect() }
    }

    /// Returns the module that defines what `path` names in `module`; `None` for other crates, for modules themselves,
    /// and for names that only look like paths, such as variants of local types.
    fn definer(&self, module: &Module, path: &[String], depth: usize) -> Option<Module> {
        if depth == 0 {
            return None;
        }
        let mut at = match path.first()?.as_str() {
            "crate" | "voyage_gateway" => Module::new(),
            "self" | "super" => module.clone(),
            first => {
                let nested = [module.as_slice(), &[first.to_owned()]].concat();
                if !self.modules.contains_key(&nested)
                    && !self.modules[module].imported.contains_key(first)
                {
                    return None;
                }
                return self.within(module, path, depth);
            }
        };
        let mut rest = path;
        while let Some((first, tail)) = rest.split_first() {
            match first.as_str() {
                "super" => {
                    at.pop();
                }
                "crate" | "voyage_gateway" | "self" => {}
                _ => break,
            }
            rest = tail;
        }
        self.within(&at, rest, depth)
    }

    /// Follows `rest` downward from a module.
    fn within(&self, module: &Module, rest: &[String], depth: usize) -> Option<Module> {
        let (first, tail) = rest.split_first()?;
        let nested = [module.as_slice(), std::slice::from_ref(first)].concat();
        if self.modules.contains_key(&nested) {
            return self.within(&nested, tail, depth);
        }
        match self.modules[module].imported.get(first) {
            Some(import) => {
                let path = [import.as_slice(), tail].concat();
                self.definer(module, &path, depth - 1)
            }
            None => Some(module.clone()),
        }
    }

    /// Returns the files that each file depends on.
    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges = BTreeMap::new();
        for (module, names) in &self.modules {
            let used = named_in(&names.text)
                .iter()
                .filter_map(|path| self.definer(module, path, 8))
                .filter(|used| !module.starts_with(used))
                .map(|used| self.modules[&used].path.as_str())
                .collect();
            edges.insert(names.path.as_str(), used);
        }
        edges
    }

    /// Returns the circles, each as its files in order.
    fn circles(&self) -> BTreeSet<Vec<&str>> {
        let edges = self.edges();
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            edges.keys().map(|file| (*file, reachable(&edges, file))).collect();
        let mut circles = BTreeSet::new();
        for (file, reached) in &reach {
            let circle: Vec<&str> =
                reached.iter().copied().filter(|other| reach[other].contains(file)).collect();
            if !circle.is_empty() {
                circles.insert(circle);
            }
        }
        circles
    }
}

fn reachable<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        for next in &edges[file] {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

/// Collects the names that a `use` tree brings in.
fn import(tree: &UseTree, stem: &mut Vec<String>, names: &mut BTreeMap<String, Vec<String>>) {
    let mut add = |name: &syn::Ident, last: &syn::Ident| {
        let mut path = stem.clone();
        if last == "self" {
            let name = if name == "self" { path.last().cloned() } else { Some(name.to_string()) };
            names.insert(name.unwrap_or_default(), path);
        } else {
            path.push(last.to_string());
            names.insert(name.to_string(), path);
        }
    };
    match tree {
        UseTree::Name(name) => add(&name.ident, &name.ident),
        UseTree::Rename(rename) => add(&rename.rename, &rename.ident),
        UseTree::Path(path) => {
            stem.push(path.ident.to_string());
            import(&path.tree, stem, names);
            stem.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                import(tree, stem, names);
            }
        }
        UseTree::Glob(_) => {}
    }
}

#[test]
fn files_import_each_other_in_no_circle() {
    let files = Files::new(&program());
    let circles = files.circles();
    let wrong: Vec<String> =
        circles.iter().map(|circle| format!("a circle: {}", circle.join(" "))).collect();
    assert_none(&wrong);
}

#[test]
fn circles_are_found_through_siblings_and_re_exports() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let files = [
        source("src/lib.rs", "mod a; mod b;"),
        source("src/a.rs", "mod one; mod two; pub use one::One; fn f() { two::g() }"),
        // A child names its parent's own item: no edge. Its sibling's, by the parent's re-export: an edge.
        source("src/a/one.rs", "use super::two; pub struct One; fn h() { two::g(); super::f() }"),
        source("src/a/two.rs", "use super::One; pub fn g() -> One { One }"),
        source("src/b.rs", "use crate::a::One; fn i(x: One) {}"),
    ];
    let files = Files::new(&files);
    let one = files.edges()["src/b.rs"].iter().copied().collect::<Vec<_>>();
    assert_eq!(one, ["src/a/one.rs"]);
    let circles: Vec<_> = files.circles().into_iter().collect();
    assert_eq!(circles, [["src/a/one.rs", "src/a/two.rs"]]);
}
