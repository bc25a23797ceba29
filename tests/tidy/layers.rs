//! Who may see whom: the fifteen crates on their floors, and the foreign crates that each must never see. The table is
//! compared with what cargo says of the manifests.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// One crate's place in the house.
struct Layer {
    name: &'static str,
    floor: u8,
    sees: &'static [&'static str],
    never: &'static [&'static [&'static str]],
}

const RUNTIME: &[&str] = &[
    "tokio",
    "tokio-util",
    "tokio-stream",
    "futures-timer",
    "async-std",
    "smol",
];
const NETWORK: &[&str] = &[
    "tonic",
    "axum",
    "hyper",
    "reqwest",
    "tokio-rustls",
    "rustls",
    "hickory-resolver",
];
const DRIVERS: &[&str] = &["sqlx", "redis", "etcd-client", "rusqlite"];
const CHANCE: &[&str] = &["rand", "getrandom", "fastrand", "uuid"];
const WATCHING: &[&str] = &["tracing", "metrics", "opentelemetry"];
const XMPP: &[&str] = &["xmpp-parsers", "minidom", "jid", "tokio-xmpp"];

/// What a crate that only decides must never see.
const IMPURE: &[&[&str]] = &[RUNTIME, NETWORK, DRIVERS, CHANCE, WATCHING, XMPP];

/// From the roof to the ground, as in ARCHITECTURE.md.
const LAYERS: &[Layer] = &[
    Layer {
        name: "server",
        floor: 6,
        sees: &[
            "edge", "router", "backends", "modules", "link", "engine", "stream", "sasl", "store", "stanza", "topology",
            "xml",
        ],
        never: &[DRIVERS, XMPP],
    },
    Layer {
        name: "edge",
        floor: 5,
        sees: &["stream", "link", "topology", "stanza", "xml"],
        never: &[DRIVERS, XMPP, &["tonic", "serde_json"]],
    },
    Layer {
        name: "router",
        floor: 5,
        sees: &["engine", "sasl", "store", "link", "topology", "stanza", "xml"],
        never: &[DRIVERS, NETWORK, XMPP],
    },
    Layer {
        name: "backends",
        floor: 5,
        sees: &["store", "stanza", "topology"],
        never: &[XMPP, &["tonic", "axum"]],
    },
    Layer {
        name: "modules",
        floor: 4,
        sees: &["engine", "store", "stanza", "xml"],
        never: IMPURE,
    },
    Layer {
        name: "link",
        floor: 4,
        sees: &["stanza", "topology"],
        never: &[DRIVERS, XMPP],
    },
    Layer {
        name: "engine",
        floor: 3,
        sees: &["stanza", "xml", "store"],
        never: IMPURE,
    },
    Layer {
        name: "stream",
        floor: 3,
        sees: &["stanza", "xml"],
        never: IMPURE,
    },
    Layer {
        name: "sasl",
        floor: 3,
        sees: &["stanza", "store"],
        never: IMPURE,
    },
    Layer {
        name: "store",
        floor: 2,
        sees: &["stanza", "topology"],
        never: &[DRIVERS, NETWORK, XMPP],
    },
    Layer {
        name: "stanza",
        floor: 1,
        sees: &["xml"],
        never: IMPURE,
    },
    Layer {
        name: "topology",
        floor: 1,
        sees: &[],
        never: IMPURE,
    },
    Layer {
        name: "xml",
        floor: 0,
        sees: &[],
        never: IMPURE,
    },
    Layer {
        name: "testkit",
        floor: 6,
        sees: &[
            "edge", "router", "modules", "link", "engine", "stream", "swarm", "sasl", "store", "stanza", "topology",
            "xml",
        ],
        never: &[DRIVERS],
    },
    Layer {
        name: "loadtest",
        floor: 5,
        sees: &["swarm", "sasl", "store", "xml"],
        never: &[DRIVERS, XMPP],
    },
    Layer {
        name: "swarm",
        floor: 4,
        sees: &["sasl", "store", "xml"],
        never: &[DRIVERS, XMPP, &["tonic"]],
    },
];

/// The packages of the tests themselves: they may see everything, and nothing may see them.
const TESTS: &[&str] = &["tests", "cost", "sim"];

/// One dependency as cargo reports it; crates of the house are named by their folder.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    from: String,
    to: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Build,
    Dev,
    Normal,
}

/// Packages and dependencies of this workspace.
pub(crate) struct Graph {
    crates: Vec<String>,
    dependencies: Vec<Dependency>,
}

/// Asks cargo, offline, about the workspace's own packages.
pub(crate) fn read() -> Graph {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    graph(&serde_json::from_slice(&output.stdout).expect("cargo writes JSON"))
}

/// What is wrong with the graph, or with the table itself.
pub(crate) fn complaints(graph: &Graph) -> Vec<String> {
    let layers: BTreeMap<&str, &Layer> = LAYERS.iter().map(|layer| (layer.name, layer)).collect();
    let unknown = graph
        .crates
        .iter()
        .filter(|name| !layers.contains_key(name.as_str()) && !TESTS.contains(&name.as_str()));
    let absent = LAYERS
        .iter()
        .filter(|layer| !graph.crates.iter().any(|name| name == layer.name));
    let mut complaints: Vec<String> = unknown
        .map(|name| format!("crate `{name}` has no place in the table"))
        .collect();
    complaints.extend(absent.map(|layer| format!("crate `{}` of the table is not there", layer.name)));
    complaints.extend(LAYERS.iter().flat_map(|layer| upward(layer, &layers)));
    complaints.extend(
        graph
            .dependencies
            .iter()
            .filter_map(|dependency| wrong(dependency, graph, &layers)),
    );
    complaints
}

/// Dependencies of a manifest that name their own version instead of the workspace's.
pub(crate) fn own_versions((path, text): &(String, String)) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.lines().any(|line| line == "[workspace]") {
        return complaints; // a workspace of its own, such as the fuzz targets
    }
    let mut in_dependencies = false;
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && !line.replace(' ', "").contains("workspace=true") {
            complaints.push(format!("{path}: `{line}` does not take its version from the workspace"));
        }
    }
    complaints
}

fn upward(layer: &Layer, layers: &BTreeMap<&str, &Layer>) -> Vec<String> {
    let is_below = |seen: &&str| layers.get(*seen).is_some_and(|seen| seen.floor < layer.floor);
    let wrong = layer.sees.iter().filter(|seen| !is_below(seen));
    wrong
        .map(|seen| format!("the table lets `{}` see `{seen}`, which is not below it", layer.name))
        .collect()
}

fn wrong(dependency: &Dependency, graph: &Graph, layers: &BTreeMap<&str, &Layer>) -> Option<String> {
    let Dependency { from, to, kind } = dependency;
    let layer = layers.get(from.as_str())?;
    let said = |what: &str| Some(format!("`{from}` {what} `{to}` ({kind:?})"));
    if graph.crates.contains(to) {
        let for_tests = *kind == Kind::Dev && (to == "testkit" || to == from);
        return if layer.sees.contains(&to.as_str()) || for_tests {
            None
        } else {
            said("may not see")
        };
    }
    let forbidden = *kind == Kind::Normal && layer.never.iter().any(|group| group.contains(&to.as_str()));
    if forbidden { said("must never see") } else { None }
}

fn graph(metadata: &Value) -> Graph {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let crates: Vec<String> = packages.iter().map(|package| folder(&package["name"])).collect();
    let of = |package: &Value| {
        let from = folder(&package["name"]);
        list(&package["dependencies"])
            .into_iter()
            .map(move |dependency| Dependency {
                from: from.clone(),
                to: folder(&dependency["name"]),
                kind: kind(dependency["kind"].as_str()),
            })
    };
    Graph {
        dependencies: packages.iter().flat_map(of).collect(),
        crates,
    }
}

/// The folder of one of our packages; a foreign package keeps its name.
fn folder(package: &Value) -> String {
    let name = package.as_str().unwrap_or_default();
    if name == "dunlin" {
        "server".to_owned()
    } else {
        name.strip_prefix("dunlin-").unwrap_or(name).to_owned()
    }
}

fn kind(kind: Option<&str>) -> Kind {
    match kind {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, to: &str, kind: Kind, expected: &str) {
        let crates = LAYERS.iter().map(|layer| layer.name.to_owned()).collect();
        let dependencies = vec![Dependency {
            from: from.into(),
            to: to.into(),
            kind,
        }];
        assert_eq!(complaints(&Graph { crates, dependencies }).join("; "), expected);
    }

    #[test]
    fn a_wrong_dependency_is_named() {
        check("edge", "store", Kind::Normal, "`edge` may not see `store` (Normal)");
        check("edge", "sasl", Kind::Normal, "`edge` may not see `sasl` (Normal)");
        check("edge", "sqlx", Kind::Normal, "`edge` must never see `sqlx` (Normal)");
        check(
            "stream",
            "tokio",
            Kind::Normal,
            "`stream` must never see `tokio` (Normal)",
        );
        check(
            "engine",
            "testkit",
            Kind::Normal,
            "`engine` may not see `testkit` (Normal)",
        );
        check("router", "modules", Kind::Dev, "`router` may not see `modules` (Dev)");
        check("stanza", "server", Kind::Build, "`stanza` may not see `server` (Build)");
    }

    #[test]
    fn a_right_dependency_is_not() {
        check("router", "sasl", Kind::Normal, "");
        check("stream", "tokio", Kind::Dev, "");
        check("engine", "testkit", Kind::Dev, "");
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        let mut crates: Vec<String> = LAYERS.iter().map(|layer| layer.name.to_owned()).collect();
        crates[0] = "common".to_owned();
        let expected = "crate `common` has no place in the table; crate `server` of the table is not there";
        assert_eq!(
            complaints(&Graph {
                crates,
                dependencies: Vec::new()
            })
            .join("; "),
            expected
        );
    }

    #[test]
    fn an_own_version_is_named() {
        let manifest = |text: &str| ("Cargo.toml".to_owned(), text.to_owned());
        assert!(
            own_versions(&manifest(
                "[dependencies]\nbytes.workspace = true\ntokio = { workspace = true }\n"
            ))
            .is_empty()
        );
        assert_eq!(own_versions(&manifest("[dev-dependencies]\nbytes = \"1\"\n")).len(), 1);
    }
}
