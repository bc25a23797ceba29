//! Words and names: what a file must open with, what may not be left in it, and where a panic is allowed.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{ExprMethodCall, ImplItemFn, ItemFn, ItemMod, Macro};

use crate::source::{File, is_test_only, line};

/// Marks of unfinished work, anywhere in a file, comments included. Written in halves, so that this file may hold them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("#[ign", "ore"),
];

/// Waiting by the clock: a test that does it is slow, or wrong, or both.
const SLEEP: &str = concat!("thread::sl", "eep");

/// Where waiting by the clock is the right thing: (path, reason).
const WAITING: &[(&str, &str)] = &[(
    "crates/testkit/src/services.rs",
    "asks a process until it answers; no test logic waits",
)];

const UNFINISHED_MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

/// Where an `expect` stands outside of tests, and why it cannot fail: (path, part of its message, reason).
const EXPECTATIONS: &[(&str, &str, &str)] = &[];

/// Sources that are part of a library yet run in tests only, where `expect` is an assertion.
const SUITES: &[(&str, &str)] = &[(
    "crates/store/src/suite",
    "the promises of the ports, run by every back-end's tests",
)];

/// What this file should not say, or forgot to say.
pub(crate) fn complaints(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    if !opens_with_a_comment(&file.text) {
        complaints.push(format!("{}: does not open with a `//!` comment", file.path));
    }
    if let Some(name) = empty_name(&file.path) {
        complaints.push(format!("{}: `{name}` says nothing about what it holds", file.path));
    }
    for (number, text) in file.text.lines().enumerate() {
        let found = UNFINISHED.iter().filter(|word| text.contains(**word));
        complaints.extend(found.map(|word| format!("{}:{}: `{word}`", file.path, number + 1)));
    }
    if file.text.contains(SLEEP) && !WAITING.iter().any(|(path, _)| *path == file.path) {
        complaints.push(format!("{}: `{SLEEP}`", file.path));
    }
    let panics_allowed = file.is_test() || SUITES.iter().any(|(path, _)| file.path.starts_with(path));
    let mut calls = Calls {
        path: &file.path,
        panics_allowed,
        complaints,
    };
    calls.visit_file(&file.syntax);
    calls.complaints
}

fn opens_with_a_comment(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| line.starts_with("//! "))
}

fn empty_name(path: &str) -> Option<&str> {
    let name = |part: &str| {
        Path::new(part)
            .file_stem()
            .is_some_and(|stem| EMPTY_NAMES.iter().any(|empty| stem == *empty))
    };
    path.split('/').find(|part| name(part))
}

struct Calls<'a> {
    path: &'a str,
    panics_allowed: bool,
    complaints: Vec<String>,
}

impl Calls<'_> {
    fn complain(&mut self, line: usize, what: &str) {
        self.complaints.push(format!("{}:{line}: {what}", self.path));
    }

    fn is_expected(&self, call: &ExprMethodCall) -> bool {
        let message = call
            .args
            .first()
            .map(|argument| quote(argument.span()))
            .unwrap_or_default();
        EXPECTATIONS
            .iter()
            .any(|(path, part, _)| *path == self.path && message.contains(part))
    }

    /// Panicking calls inside macros, where there is no syntax to walk.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        for token in tokens {
            match &token {
                TokenTree::Ident(name) if after_dot && (name == "unwrap" || name == "expect") => {
                    self.complain(line(name.span()), &format!("`{name}` outside of tests"));
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
            after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        }
    }
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let before = self.panics_allowed;
        self.panics_allowed |= is_test_only(&item.attrs);
        visit::visit_item_mod(self, item);
        self.panics_allowed = before;
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        let before = self.panics_allowed;
        self.panics_allowed |= is_test_only(&item.attrs);
        visit::visit_item_fn(self, item);
        self.panics_allowed = before;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        let before = self.panics_allowed;
        self.panics_allowed |= is_test_only(&item.attrs);
        visit::visit_impl_item_fn(self, item);
        self.panics_allowed = before;
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        // A parser's own `expect(b'<')` takes something else than a message.
        let takes_message =
            matches!(call.args.first(), Some(syn::Expr::Lit(lit)) if matches!(lit.lit, syn::Lit::Str(_)));
        let panics = call.method == "unwrap" && call.args.is_empty() || call.method == "expect" && takes_message;
        if panics && !self.panics_allowed && !self.is_expected(call) {
            self.complain(line(call.method.span()), &format!("`{}` outside of tests", call.method));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(name) = UNFINISHED_MACROS.iter().find(|name| call.path.is_ident(name)) {
            self.complain(line(call.span()), &format!("`{name}!`"));
        }
        if !self.panics_allowed {
            self.tokens(call.tokens.clone());
        }
    }
}

fn quote(span: proc_macro2::Span) -> String {
    span.source_text().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let complaints = complaints(&File::new(path, format!("//! A.\n{text}")));
        let ends = |(complaint, end): (&String, &&str)| complaint.ends_with(end);
        assert!(
            complaints.len() == expected.len() && complaints.iter().zip(expected).all(ends),
            "{complaints:?}"
        );
    }

    #[test]
    fn unfinished_work_is_named() {
        check(
            "crates/x/src/a.rs",
            concat!("// TO", "DO: more\n"),
            &[concat!("`TO", "DO`")],
        );
        check("crates/x/src/a.rs", "fn a() { todo!() }", &["`todo!`"]);
        check(
            "crates/x/tests/a.rs",
            "fn a() { unimplemented!(\"later\") }",
            &["`unimplemented!`"],
        );
        check(
            "crates/x/tests/a.rs",
            concat!("#[ign", "ore]\nfn a() {}"),
            &[concat!("`#[ign", "ore`")],
        );
    }

    #[test]
    fn panics_outside_of_tests_are_named() {
        check(
            "crates/x/src/a.rs",
            "fn a() { b().unwrap() }",
            &["`unwrap` outside of tests"],
        );
        check(
            "crates/x/src/a.rs",
            "fn a() { c(b().expect(\"b\")) }",
            &["`expect` outside of tests"],
        );
        check(
            "crates/x/src/a.rs",
            "fn a() { c!(b().unwrap()) }",
            &["`unwrap` outside of tests"],
        );
        check("crates/x/src/a.rs", "fn a() { self.expect(b'<') }", &[]);
        check(
            "crates/x/src/a.rs",
            "#[cfg(test)]\nmod tests { fn a() { b().unwrap() } }",
            &[],
        );
        check("crates/x/tests/a.rs", "fn a() { b().unwrap() }", &[]);
    }

    #[test]
    fn empty_names_and_missing_comments_are_named() {
        check("crates/x/src/utils.rs", "", &["says nothing about what it holds"]);
        check("crates/x/src/common/a.rs", "", &["says nothing about what it holds"]);
        assert!(!opens_with_a_comment("// A.\nfn a() {}"));
    }
}
