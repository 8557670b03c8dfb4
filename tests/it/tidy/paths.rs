//! The paths that Rust code names: `a::b::c`, in `use` trees, expressions, attributes and macros alike.

use std::iter::Peekable;

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream::IntoIter};

/// A path as it is written, such as `["crate", "cache", "Cache"]`, with every `{…}` of a `use` spelled out.
pub(super) type Path = Vec<String>;

/// Returns every path of two segments or more.
pub(super) fn named_in(code: &str) -> Vec<Path> {
    let tokens: TokenStream = code.parse().expect("Rust code");
    let mut paths = Vec::new();
    walk(tokens, &mut paths);
    paths
}

fn walk(tokens: TokenStream, paths: &mut Vec<Path>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(first) => read_path(vec![first.to_string()], &mut tokens, paths),
            TokenTree::Group(group) => walk(group.stream(), paths),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Reads on behind a path's first segment.
fn read_path(mut path: Path, tokens: &mut Peekable<IntoIter>, paths: &mut Vec<Path>) {
    while skip_separator(tokens) {
        match tokens.peek() {
            Some(TokenTree::Ident(segment)) => {
                path.push(segment.to_string());
                tokens.next();
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let branches = group.stream();
                tokens.next();
                return read_branches(&path, branches, paths);
            }
            // `a::<T>`, `a::*`: the path ends here.
            _ => break,
        }
    }
    if path.len() > 1 {
        paths.push(path);
    }
}

/// Reads the `{…}` at the end of a `use` path.
fn read_branches(stem: &Path, branches: TokenStream, paths: &mut Vec<Path>) {
    let mut tokens = branches.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let TokenTree::Ident(segment) = token {
            let branch = stem.iter().cloned().chain([segment.to_string()]).collect();
            read_path(branch, &mut tokens, paths);
        }
    }
}

/// Skips `::`; a single colon is left alone.
fn skip_separator(tokens: &mut Peekable<IntoIter>) -> bool {
    let is_colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    let mut ahead = tokens.clone();
    if is_colon(ahead.next().as_ref()) && is_colon(ahead.next().as_ref()) {
        *tokens = ahead;
        return true;
    }
    false
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let code = r#"
        use a::{b::{C, d}, self, e::*};
        #[attribute(f::g)]
        fn h<T: i::J>(k: l::M<n::O>) -> u32 { vec![p::q(), r.s()]; t::<u::V>(); "w::x"; y }
    "#;
    let found: Vec<String> = named_in(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        ["a::b::C", "a::b::d", "a::self", "a::e", "f::g", "i::J", "l::M", "n::O", "p::q", "u::V"]
    );
}
