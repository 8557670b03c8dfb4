//! Limits of lines in files, functions and the whole program, and of arguments.

use std::collections::BTreeMap;

use syn::{
    Block, ImplItemFn, ItemFn, ItemImpl, Signature, TraitItemFn,
    visit::{self, Visit},
};

use super::{Source, assert_none, program, sources};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 60;
const ARGUMENTS: usize = 5;

/// Production lines in all.
const LINES: usize = 34_000;

/// The largest room's part of them, in percent.
const ROOM_PERCENT: usize = 20;

/// Finds the functions that are too large.
struct Functions<'a> {
    file: &'a Source,
    /// Within `impl Trait for …`, where the trait dictates the arguments.
    in_trait_impl: bool,
    seen: usize,
    wrong: Vec<String>,
}

impl Functions<'_> {
    fn look(&mut self, signature: &Signature, block: Option<&Block>) {
        self.seen += 1;
        let begin = signature.fn_token.span;
        let end = block.map_or(begin, |block| block.brace_token.span.close());
        let lines = end.end().line + 1 - begin.start().line;
        let arguments = signature.inputs.len();
        if lines > FUNCTION_LINES || (arguments > ARGUMENTS && !self.in_trait_impl) {
            let (path, name) = (&self.file.path, &signature.ident);
            self.wrong.push(format!("{path}: {name} has {lines} lines and {arguments} arguments"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.look(&function.sig, Some(&function.block));
        visit::visit_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.in_trait_impl = item.trait_.is_some();
        visit::visit_item_impl(self, item);
        self.in_trait_impl = false;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.look(&function.sig, Some(&function.block));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        self.look(&function.sig, function.default.as_ref());
        visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn files_stay_short() {
    let wrong: Vec<String> = program()
        .iter()
        .chain(&sources("tests/it", "rs"))
        .map(|file| (&file.path, file.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(path, lines)| format!("{path} has {lines} lines"))
        .collect();
    assert_none(&wrong);
}

#[test]
fn the_program_stays_small_and_no_room_dominates() {
    let mut rooms: BTreeMap<String, usize> = BTreeMap::new();
    for file in program() {
        *rooms.entry(file.room().to_owned()).or_default() += file.text.lines().count();
    }
    let total: usize = rooms.values().sum();
    let mut wrong = Vec::new();
    if total > LINES {
        wrong.push(format!("{total} production lines; at most {LINES}"));
    }
    for (room, lines) in &rooms {
        println!("{room}: {lines}");
        if lines * 100 > total * ROOM_PERCENT {
            wrong.push(format!("{room} has {lines} of {total} production lines"));
        }
    }
    println!("{total} production lines");
    assert_none(&wrong);
}

#[test]
fn functions_stay_short_and_take_few_arguments() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in program() {
        let syntax = syn::parse_file(&file.text).expect("Rust code");
        let mut functions =
            Functions { file: &file, in_trait_impl: false, seen: 0, wrong: Vec::new() };
        functions.visit_file(&syntax);
        seen += functions.seen;
        wrong.extend(functions.wrong);
    }
    assert!(seen > 200, "only {seen} functions were found");
    assert_none(&wrong);
}

#[test]
fn a_function_that_is_too_large_is_found() {
    let long = format!("impl X {{ fn long(&self) {{\n{}}} }}", "call();\n".repeat(59));
    let wide = "trait Y { fn wide(&self, a: u8, b: u8, c: u8, d: u8, e: u8); }";
    for text in [long.as_str(), wide] {
        let file = Source { path: "x.rs".to_owned(), text: text.to_owned() };
        let mut functions =
            Functions { file: &file, in_trait_impl: false, seen: 0, wrong: Vec::new() };
        functions.visit_file(&syn::parse_file(text).expect("Rust code"));
        assert_eq!(functions.wrong.len(), 1, "{text}");
    }
}
