//! Crates that only decide: time and chance are their arguments, they start nothing, and their order never hangs on a hash.

use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{ItemMod, UseTree};

use crate::source::{File, is_test_only, line};

/// Crates that only decide (ARCHITECTURE.md).
const PURE: &[&str] = &["xml", "stanza", "topology", "sasl", "stream", "engine", "modules"];

/// Last two segments of paths that read a clock, draw lots, wait, or start something.
const IMPURE: &[(&str, &str)] = &[
    ("Instant", "now"),
    ("SystemTime", "now"),
    ("Timestamp", "now"),
    ("Zoned", "now"),
    ("thread", "sleep"),
    ("thread", "spawn"),
    ("rand", "fill"),
    ("rand", "SystemRandom"),
    ("SystemRandom", "new"),
    ("collections", "HashMap"),
    ("collections", "HashSet"),
];

/// Hash tables that are looked up in and never walked: (path, reason).
const LOOKED_UP_ONLY: &[(&str, &str)] = &[];

/// What each pure crate's `clippy.toml` has to forbid; clippy sees through renamed imports, which this file does not.
const LINTED: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    concat!("std::thread::sl", "eep"),
    "std::thread::spawn",
];

/// What this file does that a pure crate may not; nothing for other crates and for tests.
pub(crate) fn complaints(file: &File) -> Vec<String> {
    let is_pure = file.crate_name().is_some_and(|name| PURE.contains(&name));
    if !is_pure || file.is_test() {
        return Vec::new();
    }
    let mut paths = Paths {
        path: &file.path,
        complaints: Vec::new(),
    };
    file.items().for_each(|item| paths.visit_item(item));
    paths.complaints
}

/// Pure crates whose `clippy.toml` is missing or forgets something.
pub(crate) fn lints(root: &Path) -> Vec<String> {
    let file = |name: &&&str| root.join("crates").join(name).join("clippy.toml");
    PURE.iter()
        .flat_map(|name| lint(name, &std::fs::read_to_string(file(&name)).unwrap_or_default()))
        .collect()
}

fn lint(name: &str, text: &str) -> Vec<String> {
    let missing = LINTED.iter().filter(|method| !text.contains(&format!("\"{method}\"")));
    missing
        .map(|method| format!("crates/{name}/clippy.toml does not forbid `{method}`"))
        .collect()
}

struct Paths<'a> {
    path: &'a str,
    complaints: Vec<String>,
}

impl Paths<'_> {
    fn look(&mut self, segments: &[String], line: usize) {
        let [.., first, second] = segments else { return };
        let is_impure = IMPURE.iter().any(|(a, b)| first == a && second == b);
        let is_allowed = second.starts_with("Hash") && LOOKED_UP_ONLY.iter().any(|(path, _)| *path == self.path);
        if is_impure && !is_allowed {
            self.complaints.push(format!(
                "{}:{line}: `{first}::{second}` in a crate that only decides",
                self.path
            ));
        }
    }

    fn look_into(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.look(before, line(path.ident.span()));
                self.look_into(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.look_into(tree, before)),
            UseTree::Name(name) => self.look_at_leaf(&name.ident, before),
            UseTree::Rename(rename) => self.look_at_leaf(&rename.ident, before),
            UseTree::Glob(_) => {}
        }
    }

    fn look_at_leaf(&mut self, leaf: &syn::Ident, before: &mut Vec<String>) {
        before.push(leaf.to_string());
        self.look(before, line(leaf.span()));
        before.pop();
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.look_into(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.look(&segments, line(path.span()));
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: usize) {
        let complaints = complaints(&File::new(path, text));
        assert_eq!(complaints.len(), expected, "{complaints:?}");
    }

    #[test]
    fn clocks_chance_and_hashes_are_named() {
        check("crates/stream/src/a.rs", "fn a() { std::time::Instant::now(); }", 1);
        check("crates/stream/src/a.rs", "fn a() { b(Instant::now) }", 1);
        check(
            "crates/engine/src/a.rs",
            "use std::collections::{BTreeMap, HashMap};",
            1,
        );
        check("crates/sasl/src/a.rs", "use aws_lc_rs::rand::{SystemRandom, fill};", 2);
        check("crates/router/src/a.rs", "fn a() { Instant::now(); }", 0);
        check(
            "crates/stream/src/a.rs",
            "#[cfg(test)]\nmod tests { fn a() { Instant::now(); } }",
            0,
        );
    }

    #[test]
    fn a_forgotten_lint_is_named() {
        assert_eq!(lint("xml", "").len(), LINTED.len());
        assert_eq!(
            lint("xml", "{ path = \"std::time::Instant::now\" }").len(),
            LINTED.len() - 1
        );
    }
}
