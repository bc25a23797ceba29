//! Circles among the files of one crate. A file uses another when a path in it leads there, whether through `use` or in
//! place; a path to a re-export leads to the file that holds the item, and a re-export by itself is no use.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

use crate::source::{File, is_test_only, sources};

/// A module's place, from the crate's root: `[]`, `["a", "b"]`.
type Place = Vec<String>;

/// Longest chain of re-exports that is followed.
const HOPS: usize = 8;

/// Each set of files that use each other in a circle.
pub(crate) fn complaints(name: &str, files: &[&File]) -> Vec<String> {
    let (mut library, mut binary) = (Vec::new(), Vec::new());
    let has_library = files.iter().any(|file| file.path.ends_with("/src/lib.rs"));
    for file in files {
        let is_main = file.path.ends_with("/src/main.rs") || !has_library;
        if is_main {
            binary.push(*file)
        } else {
            library.push(*file)
        }
    }
    let prefix = sources(name);
    [library, binary]
        .iter()
        .flat_map(|files| circles(&Tree::new(&prefix, files)))
        .map(|circle| format!("{name}: {circle}"))
        .collect()
}

/// The modules of one crate root.
struct Tree<'a> {
    modules: BTreeMap<Place, Module<'a>>,
}

struct Module<'a> {
    file: &'a str,
    items: Vec<&'a Item>,
    names: BTreeMap<String, Place>,
    globs: Vec<Place>,
}

impl<'a> Tree<'a> {
    fn new(prefix: &str, files: &[&'a File]) -> Self {
        let mut tree = Self {
            modules: BTreeMap::new(),
        };
        for file in files {
            let short = file.path.strip_prefix(prefix).unwrap_or(&file.path);
            tree.add(place(short), &file.path, file.items().collect());
        }
        tree
    }

    fn add(&mut self, place: Place, file: &'a str, items: Vec<&'a Item>) {
        let mut module = Module {
            file,
            items: Vec::new(),
            names: BTreeMap::new(),
            globs: Vec::new(),
        };
        for item in items {
            match item {
                Item::Mod(ItemMod {
                    content: Some((_, inner)),
                    ident,
                    ..
                }) => {
                    let inner = inner
                        .iter()
                        .filter(|item| !matches!(item, Item::Mod(item) if is_test_only(&item.attrs)));
                    self.add(below(&place, ident), file, inner.collect());
                }
                Item::Use(import) => {
                    for (path, name) in flat(&import.tree) {
                        let path = absolute(&place, &path);
                        match name {
                            Some(name) => drop(module.names.insert(name, path)),
                            None => module.globs.push(path),
                        }
                    }
                    module.items.push(item);
                }
                item => module.items.push(item),
            }
        }
        self.modules.insert(place, module);
    }

    /// The module in which the item at this path stands, or `None` when the path leads out of the crate.
    fn home(&self, path: &[String], hops: usize) -> Option<&Module<'a>> {
        let known = (0..=path.len())
            .rev()
            .find(|length| self.modules.contains_key(&path[..*length]))?;
        let module = &self.modules[&path[..known]];
        let Some(next) = path.get(known).filter(|_| hops > 0) else {
            return Some(module);
        };
        if let Some(target) = module
            .names
            .get(next)
            .filter(|target| target.as_slice() != &path[..=known])
        {
            let through: Place = target.iter().chain(&path[known + 1..]).cloned().collect();
            return self.home(&through, hops - 1);
        }
        if defines(module, next) {
            return Some(module);
        }
        let glob = module
            .globs
            .iter()
            .find(|glob| self.defines(glob, next))
            .and_then(|glob| self.modules.get(glob));
        // Unknown at the end of re-exports: a foreign crate's. Unknown at once: made by a macro, and the module's own.
        glob.or_else(|| (hops == HOPS).then_some(module))
    }

    fn defines(&self, place: &Place, name: &str) -> bool {
        self.modules.get(place).is_some_and(|module| defines(module, name))
    }

    /// The files that the module at this place uses.
    fn uses(&self, place: &Place) -> BTreeSet<&'a str> {
        let module = &self.modules[place];
        let mut found = Found { paths: Vec::new() };
        module.items.iter().for_each(|item| found.visit_item(item));
        let is_child =
            |name: &String| module.names.contains_key(name) || self.modules.contains_key(&below(place, name));
        let paths = found
            .paths
            .iter()
            .filter(|path| is_local(&path[0]) || path.len() > 1 && is_child(&path[0]));
        let homes = paths.filter_map(|path| self.home(&absolute(place, path), HOPS));
        homes
            .map(|home| home.file)
            .filter(|file| *file != module.file)
            .collect()
    }
}

/// Groups of files of which each reaches each other, as the uses that close them.
fn circles(tree: &Tree) -> Vec<String> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (place, module) in &tree.modules {
        uses.entry(module.file).or_default().extend(tree.uses(place));
    }
    let reached = closure(&uses);
    let circle = |file: &str| {
        reached[file]
            .iter()
            .filter(|other| reached[**other].contains(file))
            .copied()
            .collect()
    };
    let circles = reached
        .keys()
        .map(|file| circle(file))
        .filter(|circle: &Vec<&str>| circle.len() > 1);
    circles
        .collect::<BTreeSet<_>>()
        .iter()
        .map(|circle| describe(circle, &uses))
        .collect()
}

/// What each file reaches by any number of uses.
fn closure<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut reached = uses.clone();
    loop {
        let further =
            |files: &BTreeSet<&'a str>| files.iter().flat_map(|file| reached[file].clone()).collect::<Vec<_>>();
        let next: BTreeMap<&str, BTreeSet<&str>> = reached
            .iter()
            .map(|(file, files)| (*file, files.iter().copied().chain(further(files)).collect()))
            .collect();
        if next == reached {
            return reached;
        }
        reached = next;
    }
}

fn describe(circle: &[&str], uses: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    let short = |file: &str| file.split_once("/src/").map_or(file, |(_, short)| short).to_owned();
    let inside = |file: &&&str| circle.contains(*file);
    let edges = |file: &&str| {
        let used: Vec<String> = uses[*file]
            .iter()
            .filter(|file| inside(file))
            .map(|file| short(file))
            .collect();
        format!("{} uses {}", short(file), used.join(" and "))
    };
    format!("a circle: {}", circle.iter().map(edges).collect::<Vec<_>>().join(", "))
}

/// Collects the paths of a module that may lead to another of its crate.
struct Found {
    paths: Vec<Place>,
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {
        // Inner modules have places of their own.
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            self.paths.extend(
                flat(&item.tree)
                    .into_iter()
                    .map(|(path, _)| path)
                    .filter(|path| is_local(&path[0])),
            );
        }
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // `pub(crate)` names a place, but uses nothing.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths
            .push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        tokens(call.tokens.clone(), &mut self.paths);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }
}

/// Paths that start with `crate`, `self` or `super` inside a macro's tokens.
fn tokens(stream: TokenStream, paths: &mut Vec<Place>) {
    let mut path: Place = Vec::new();
    for token in stream {
        match token {
            TokenTree::Ident(name) if path.is_empty() && !is_local(&name.to_string()) => {}
            TokenTree::Ident(name) => path.push(name.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {}
            other => {
                paths.extend((path.len() > 1).then(|| std::mem::take(&mut path)));
                path.clear();
                if let TokenTree::Group(group) = other {
                    tokens(group.stream(), paths);
                }
            }
        }
    }
    paths.extend((path.len() > 1).then_some(path));
}

/// Each leaf of a `use`, with the name it gets; `None` for a glob.
fn flat(tree: &UseTree) -> Vec<(Place, Option<String>)> {
    let below = |first: &syn::Ident, tree: &UseTree| -> Vec<(Place, Option<String>)> {
        let prefixed = |(path, name): (Place, Option<String>)| {
            let own = name
                .filter(|name| name != "self")
                .or_else(|| path.first().is_some_and(|p| p == "self").then(|| first.to_string()));
            let path = if path == ["self"] { Vec::new() } else { path };
            (std::iter::once(first.to_string()).chain(path).collect(), own)
        };
        flat(tree).into_iter().map(prefixed).collect()
    };
    match tree {
        UseTree::Path(path) => below(&path.ident, &path.tree),
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], Some(name.ident.to_string()))],
        UseTree::Rename(rename) => vec![(vec![rename.ident.to_string()], Some(rename.rename.to_string()))],
        UseTree::Glob(_) => vec![(Vec::new(), None)],
        UseTree::Group(group) => group.items.iter().flat_map(flat).collect(),
    }
}

/// A path as seen from the crate's root. A path that starts with neither keyword is taken as relative to its module: it
/// may be a child module, and leads nowhere if it is a foreign crate.
fn absolute(place: &Place, path: &[String]) -> Place {
    let mut base = place.clone();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => (base, rest) = (Vec::new(), &path[1..]),
        Some("self") => rest = &path[1..],
        _ => {}
    }
    while rest.first().is_some_and(|first| first == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend(rest.iter().cloned());
    base
}

fn place(path: &str) -> Place {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/')
        .filter(|part| !matches!(*part, "lib" | "main"))
        .map(str::to_owned)
        .collect()
}

fn below(place: &Place, child: &impl ToString) -> Place {
    place.iter().cloned().chain([child.to_string()]).collect()
}

fn defines(module: &Module, name: &str) -> bool {
    module.items.iter().any(|item| match item {
        Item::Const(item) => item.ident == name,
        Item::Enum(item) => item.ident == name,
        Item::Fn(item) => item.sig.ident == name,
        Item::Macro(item) => item.ident.as_ref().is_some_and(|ident| ident == name),
        Item::Static(item) => item.ident == name,
        Item::Struct(item) => item.ident == name,
        Item::Trait(item) => item.ident == name,
        Item::Type(item) => item.ident == name,
        _ => false,
    })
}

fn is_local(first: &str) -> bool {
    matches!(first, "crate" | "self" | "super")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as (name, text) of a crate `x`, and the circle expected.
    fn check(files: &[(&str, &str)], expected: &str) {
        let file = |(name, text): &(&str, &str)| File::new(format!("crates/x/src/{name}.rs"), *text);
        let files: Vec<File> = files.iter().map(file).collect();
        let found = complaints("x", &files.iter().collect::<Vec<_>>()).join("; ");
        assert_eq!(found.replace("x: a circle: ", ""), expected);
    }

    #[test]
    fn circles_are_named() {
        let library = ("lib", "mod a; mod b; mod c; pub use a::A; pub use b::B;");
        check(
            &[
                library,
                ("a", "use crate::b::B; pub struct A(B);"),
                ("b", "use crate::A; pub struct B(A);"),
            ],
            "a.rs uses b.rs, b.rs uses a.rs",
        );
        check(
            &[
                library,
                ("a", "pub struct A(super::b::B);"),
                ("b", "pub struct B(Vec<crate::a::A>);"),
            ],
            "a.rs uses b.rs, b.rs uses a.rs",
        );
        let three = [
            ("a", "use crate::b; pub struct A;"),
            ("b", "use crate::c::{self, C};"),
            ("c", "use super::{A, b}; pub struct C;"),
        ];
        check(
            &[&[library], &three[..]].concat(),
            "a.rs uses b.rs, b.rs uses c.rs, c.rs uses a.rs and b.rs",
        );
        check(
            &[
                library,
                ("a", "fn a() { vec![crate::b::b()]; }"),
                ("b", "use crate::a::a; pub fn b() {}"),
            ],
            "a.rs uses b.rs, b.rs uses a.rs",
        );
        check(
            &[
                ("lib", "mod a; pub struct X; fn x() { a::a() }"),
                ("a", "use crate::X; pub fn a() {}"),
            ],
            "a.rs uses lib.rs, lib.rs uses a.rs",
        );
        check(
            &[
                ("lib", "mod a;"),
                ("a/mod", "mod b; fn a() { b::b() }"),
                ("a/b", "use super::a; pub fn b() {}"),
            ],
            "a/b.rs uses a/mod.rs, a/mod.rs uses a/b.rs",
        );
    }

    #[test]
    fn trees_are_not() {
        let library = ("lib", "mod a; mod b; pub use a::A; pub use b::B; pub use bytes::Bytes;");
        check(
            &[
                library,
                ("a", "use crate::{B, Bytes}; pub struct A(B);"),
                ("b", "use crate::Bytes; pub struct B;"),
            ],
            "",
        );
        check(
            &[
                library,
                ("a", "pub struct A;"),
                ("b", "pub(crate) struct B; #[cfg(test)] mod tests { use crate::A; }"),
            ],
            "",
        );
        check(
            &[
                ("lib", "mod a;"),
                ("a/mod", "mod b; pub use b::b; pub struct A;"),
                ("a/b", "use super::A; pub fn b() {}"),
            ],
            "",
        );
    }
}
