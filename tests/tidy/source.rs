//! The workspace's sources as values: paths, text and syntax, with test code told apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned;
use syn::{Attribute, Item};

/// Everything the rules look at.
pub(crate) struct Workspace {
    /// The folder of the workspace.
    pub(crate) root: PathBuf,
    /// Every Rust file, ordered by path.
    pub(crate) files: Vec<File>,
    /// Every member's manifest: path and text.
    pub(crate) manifests: Vec<(String, String)>,
}

/// One Rust file.
pub(crate) struct File {
    /// Path from the workspace's root, such as `crates/xml/src/lib.rs`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// Its syntax.
    pub(crate) syntax: syn::File,
}

impl Workspace {
    /// Reads this workspace.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .canonicalize()
            .expect("the workspace's folder");
        let mut paths = Vec::new();
        walk(&root.join("crates"), &mut paths);
        walk(&root.join(LOADTEST), &mut paths);
        walk(&root.join("tests"), &mut paths);
        paths.sort();
        let relative = |path: &Path| {
            path.strip_prefix(&root)
                .expect("a path below the root")
                .to_string_lossy()
                .into_owned()
        };
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rust = paths
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
        let manifests = paths.iter().filter(|path| path.ends_with("Cargo.toml"));
        Self {
            files: rust.map(|path| File::new(relative(path), read(path))).collect(),
            manifests: manifests.map(|path| (relative(path), read(path))).collect(),
            root,
        }
    }
}

impl File {
    /// A file from its text.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path, text, syntax }
    }

    /// The folder of its crate, such as `xml`; `None` for what belongs to none.
    pub(crate) fn crate_name(&self) -> Option<&str> {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        let name = path.split('/').next()?;
        (path != self.path || name == LOADTEST).then_some(name)
    }

    /// Whether the whole file is test code: below a `tests`, `examples` or `benches` folder, a crate that tests are
    /// made with, or named `tests.rs` or `…_tests.rs`.
    pub(crate) fn is_test(&self) -> bool {
        let is_test_folder =
            |part: &str| matches!(part, "tests" | "examples" | "benches" | "tests.rs") || part.ends_with("_tests.rs");
        matches!(self.crate_name(), Some("swarm" | "testkit")) || self.path.split('/').any(is_test_folder)
    }

    /// Its items outside `#[cfg(test)]`.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.syntax.items.iter().filter(|item| !is_test_only(attributes(item)))
    }

    /// Lines that are not at the foot under `#[cfg(test)] mod tests`.
    pub(crate) fn lines_before_tests(&self) -> usize {
        let tests = |item: &&Item| matches!(item, Item::Mod(_)) && is_test_only(attributes(item));
        let foot = self.syntax.items.iter().find(tests).map(|item| line(item.span()) - 1);
        foot.unwrap_or_else(|| self.text.lines().count())
    }
}

/// The crate that has a folder of its own beside `crates/`.
const LOADTEST: &str = "loadtest";

/// Where the sources of a crate are, such as `crates/xml/src/`.
pub(crate) fn sources(name: &str) -> String {
    match name {
        LOADTEST => format!("{LOADTEST}/src/"),
        _ => format!("crates/{name}/src/"),
    }
}

/// The files of each crate's `src`, by crate.
pub(crate) fn crates(files: &[File]) -> BTreeMap<&str, Vec<&File>> {
    let mut crates: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    for file in files {
        if let Some(name) = file.crate_name().filter(|name| file.path.starts_with(&sources(name))) {
            crates.entry(name).or_default().push(file);
        }
    }
    crates
}

/// Whether an item is compiled for tests only.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("test") || is_cfg_test(attribute))
}

/// The line an item starts on, from 1.
pub(crate) fn line(span: Span) -> usize {
    span.start().line
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let condition = || {
        attribute
            .parse_args::<TokenStream>()
            .map(|tokens| tokens.to_string())
            .unwrap_or_default()
    };
    attribute.path().is_ident("cfg") && matches!(condition().as_str(), "test" | "any (test , feature = \"suite\")")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && name != "target" && name != "node_modules" => walk(&path, paths),
            Ok(kind) if kind.is_file() => paths.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_tests_apart() {
        let file = File::new("crates/x/src/a.rs", "//! A.\nfn a() {}\n#[cfg(test)]\nmod tests {}\n");
        assert_eq!(
            (file.items().count(), file.lines_before_tests(), file.is_test()),
            (1, 2, false)
        );
        assert!(File::new("crates/x/tests/a.rs", "").is_test());
        assert!(File::new("crates/x/src/a_tests.rs", "").is_test());
        assert!(File::new("crates/testkit/src/a.rs", "").is_test());
    }
}
