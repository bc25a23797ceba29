//! Sizes: a file of more than 800 lines or a function of more than 80 wants to be two.

use syn::visit::{self, Visit};
use syn::{ImplItemFn, ItemFn, ItemMod, TraitItemFn};

use crate::source::{File, is_test_only};

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 80;

/// What is too long in this file; tests may be as long as their tables.
pub(crate) fn complaints(file: &File) -> Vec<String> {
    if file.is_test() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let lines = file.lines_before_tests();
    if lines > FILE_LINES {
        complaints.push(format!("{}: {lines} lines", file.path));
    }
    let mut functions = Functions {
        path: &file.path,
        complaints,
    };
    functions.visit_file(&file.syntax);
    functions.complaints
}

struct Functions<'a> {
    path: &'a str,
    complaints: Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, name: &syn::Ident, body: &syn::Block) {
        let span = body.brace_token.span;
        let lines = span.close().end().line - span.open().start().line + 1;
        if lines > FUNCTION_LINES {
            self.complaints
                .push(format!("{}: `{name}` has {lines} lines", self.path));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.measure(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.measure(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig.ident, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &str) {
        assert_eq!(complaints(&File::new(path, text)).join("; "), expected);
    }

    #[test]
    fn long_files_and_functions_are_named() {
        let function = |lines: usize| format!("//! A.\nfn a() {{\n{}}}\n", "    b();\n".repeat(lines - 2));
        check("crates/x/src/a.rs", &function(80), "");
        check(
            "crates/x/src/a.rs",
            &function(81),
            "crates/x/src/a.rs: `a` has 81 lines",
        );
        check("crates/x/tests/a.rs", &function(81), "");
        check(
            "crates/x/src/a.rs",
            &"//! A.\n".repeat(801),
            "crates/x/src/a.rs: 801 lines",
        );
        check(
            "crates/x/src/a.rs",
            &format!("#[cfg(test)]\nmod tests {{\n{}\n}}", "// a\n".repeat(900)),
            "",
        );
        let method = format!("struct A;\nimpl A {{\n{}}}\n", function(90).replace("//! A.\n", ""));
        check("crates/x/src/a.rs", &method, "crates/x/src/a.rs: `a` has 90 lines");
    }
}
