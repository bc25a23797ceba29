//! The registry of modules against its folder: a file without a row would never run, and a row is named after its file.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, GenericArgument, Item, PathArguments, Type};

use crate::source::{File, Workspace};

const FOLDER: &str = "crates/modules/src/";

/// Files of the folder that are no modules of the server: (name, reason).
const NOT_MODULES: &[(&str, &str)] = &[];

/// Where files, `mod` lines and rows of the table disagree.
pub(crate) fn complaints(workspace: &Workspace) -> Vec<String> {
    let files = workspace.files.iter().filter_map(|file| file.path.strip_prefix(FOLDER));
    let names: BTreeSet<&str> = files.map(module_name).filter(|name| *name != "lib").collect();
    let library = workspace
        .files
        .iter()
        .find(|file| file.path == format!("{FOLDER}lib.rs"));
    library
        .map(|library| compare(&names, library))
        .unwrap_or_else(|| vec![format!("{FOLDER}lib.rs is missing")])
}

fn compare(names: &BTreeSet<&str>, library: &File) -> Vec<String> {
    let rows = rows(library);
    let declared: BTreeSet<String> = library.items().filter_map(declared).collect();
    let is_module = |name: &&&str| !NOT_MODULES.iter().any(|(other, _)| *other == **name);
    let unlisted = names
        .iter()
        .filter(is_module)
        .filter(|name| !rows.iter().any(|row| row == **name));
    let mut complaints: Vec<String> = unlisted
        .map(|name| format!("module `{name}` has no row in the table"))
        .collect();
    complaints.extend(
        rows.iter()
            .filter(|row| !names.contains(row.as_str()))
            .map(|row| format!("row `{row}` has no file")),
    );
    let undeclared = names.iter().filter(|name| !declared.contains(**name));
    complaints.extend(undeclared.map(|name| format!("file `{name}` is not declared in lib.rs")));
    let twice = rows.iter().enumerate().filter(|(at, row)| rows[..*at].contains(row));
    complaints.extend(twice.map(|(_, row)| format!("row `{row}` stands twice")));
    complaints
}

/// `carbons` for both `carbons.rs` and `carbons/query.rs`.
fn module_name(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

fn declared(item: &Item) -> Option<String> {
    match item {
        Item::Mod(item) if item.content.is_none() => Some(item.ident.to_string()),
        _ => None,
    }
}

/// The first segment of `T` in each `row::<T>()`, in order.
fn rows(library: &File) -> Vec<String> {
    let mut rows = Rows(Vec::new());
    library.items().for_each(|item| rows.visit_item(item));
    rows.0
}

struct Rows(Vec<String>);

impl<'ast> Visit<'ast> for Rows {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.0.extend(row_module(call));
        visit::visit_expr_call(self, call);
    }
}

fn row_module(call: &ExprCall) -> Option<String> {
    let Expr::Path(function) = &*call.func else { return None };
    let last = function.path.segments.last().filter(|segment| segment.ident == "row")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    let Some(GenericArgument::Type(Type::Path(module))) = arguments.args.first() else {
        return None;
    };
    module
        .path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .find(|name| name != "crate" && name != "self")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], library: &str, expected: &str) {
        let names = files.iter().map(|path| module_name(path)).collect();
        assert_eq!(
            compare(&names, &File::new("crates/modules/src/lib.rs", library)).join("; "),
            expected
        );
    }

    #[test]
    fn files_and_rows_are_compared() {
        let library = "mod ping;\nmod mam;\npub static ALL: &[Row] = &[row::<ping::Ping>(), row::<mam::Mam>()];";
        check(&["ping.rs", "mam/query.rs", "mam/mod.rs"], library, "");
        check(&["ping.rs"], library, "row `mam` has no file");
        let forgotten = "module `time` has no row in the table; file `time` is not declared in lib.rs";
        check(&["ping.rs", "mam.rs", "time.rs"], library, forgotten);
        check(
            &["ping.rs"],
            "mod ping;\nstatic ALL: &[Row] = &[row::<ping::A>(), row::<ping::A>()];",
            "row `ping` stands twice",
        );
    }
}
