//! From a file and the environment to a [`Config`], or to a complaint that names the line.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Config, Role, sense};

/// Prefix of environment overrides: `DUNLIN_STORE__POSTGRES__URL` is `store.postgres.url`.
const PREFIX: &str = "DUNLIN_";

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file, or `environment`.
    pub(crate) source: String,
    /// Line in the file, from 1, when known.
    pub(crate) line: Option<usize>,
    /// The key, such as `store.postgres.url`.
    pub(crate) key: String,
    /// What is wrong, and what to do.
    pub(crate) reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Problem {}

/// Reads `path` (no path: defaults only) and the environment.
///
/// # Errors
/// A [`Problem`] with the place where it stands.
pub(crate) fn load(path: Option<&Path>) -> Result<Config, Problem> {
    load_as(path, None)
}

/// As [`load`]; `roles`, if any, take the place of those in the configuration before anything is checked.
///
/// # Errors
/// A [`Problem`] with the place where it stands.
pub(crate) fn load_as(path: Option<&Path>, roles: Option<&[Role]>) -> Result<Config, Problem> {
    let mut environment: Vec<(String, String)> =
        std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let roles = roles.and_then(|roles| serde_json::to_string(roles).ok());
    environment.extend(roles.map(|roles| (format!("{PREFIX}ROLES"), roles)));
    let Some(path) = path else {
        return load_text("", "defaults", &environment);
    };
    let source = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Problem {
        source: source.clone(),
        line: None,
        key: String::new(),
        reason: format!("cannot be read: {error}"),
    })?;
    load_text(&text, &source, &environment)
}

/// As [`load_as`]; also looks whether every file that the process needs can be read.
///
/// # Errors
/// A [`Problem`] with the place where it stands.
pub(crate) fn load_readable(path: Option<&Path>, roles: Option<&[Role]>) -> Result<Config, Problem> {
    let config = load_as(path, roles)?;
    match sense::unreadable(&config) {
        Some((key, reason)) => Err(problem(path, key, reason)),
        None => Ok(config),
    }
}

/// What is wrong with `key`, with the place where it stands in the file at `path`.
pub(crate) fn problem(path: Option<&Path>, key: String, reason: String) -> Problem {
    let text = path
        .and_then(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default();
    let source = path.map_or_else(|| "environment".to_owned(), |path| path.display().to_string());
    place(&text, &source, key, reason)
}

/// As [`load`], from values.
///
/// # Errors
/// A [`Problem`] with the place where it stands.
pub(crate) fn load_text(text: &str, source: &str, environment: &[(String, String)]) -> Result<Config, Problem> {
    let table: toml::Table = toml::from_str(text).map_err(|error| syntax(text, source, &error))?;
    let mut value = serde_json::to_value(table).unwrap_or_default();
    for (name, setting) in environment {
        overlay(&mut value, name, setting);
    }
    read_secrets(&mut value, "").map_err(|(key, reason)| place(text, source, key, reason))?;
    let config = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().to_string();
        let (key, reason) = with_suggestion(&path, &reason);
        place(text, source, key, reason)
    })?;
    match sense::complaint(&config) {
        Some((key, reason)) => Err(place(text, source, key, reason)),
        None => Ok(config),
    }
}

fn syntax(text: &str, source: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().map(|span| line_of(text, span.start));
    Problem {
        source: source.to_owned(),
        line,
        key: String::new(),
        reason: error.message().to_owned(),
    }
}

/// Sets what an environment variable names. `__` parts levels; a value that reads as JSON is one, else a string.
fn overlay(value: &mut Value, name: &str, setting: &str) {
    let path = name.trim_start_matches(PREFIX).to_lowercase();
    let mut at = value;
    for part in path.split("__") {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(map) = at.as_object_mut() else { return };
        at = map.entry(part.to_owned()).or_insert(Value::Null);
    }
    *at = serde_json::from_str(setting).unwrap_or_else(|_| Value::String(setting.to_owned()));
}

/// Replaces `NAME_file = "path"` by `NAME = "content of path"` for names that hold secrets.
fn read_secrets(value: &mut Value, path: &str) -> Result<(), (String, String)> {
    const SECRETS: [&str; 3] = ["url", "password", "secret"];
    if let Value::Array(items) = value {
        return items
            .iter_mut()
            .enumerate()
            .try_for_each(|(at, item)| read_secrets(item, &format!("{path}[{at}]")));
    }
    let Some(map) = value.as_object_mut() else {
        return Ok(());
    };
    for name in SECRETS {
        let file_key = format!("{name}_file");
        let Some(Value::String(file)) = map.remove(&file_key) else {
            continue;
        };
        let content = std::fs::read_to_string(&file)
            .map_err(|error| (join(path, &file_key), format!("cannot read {file}: {error}")))?;
        map.insert(
            name.to_owned(),
            Value::String(content.trim_end_matches(['\n', '\r']).to_owned()),
        );
    }
    map.iter_mut()
        .try_for_each(|(key, value)| read_secrets(value, &join(path, key)))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Turns serde's `unknown field` into the key itself and a suggestion.
fn with_suggestion(path: &str, reason: &str) -> (String, String) {
    let Some(rest) = reason.strip_prefix("unknown field `") else {
        return (path.to_owned(), reason.to_owned());
    };
    let mut quoted = rest.split('`').step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let nearest = quoted
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 2)
        .min();
    let base = path
        .strip_suffix(unknown)
        .map_or(path, |base| base.trim_end_matches('.'));
    let reason = match nearest {
        Some((_, known)) => format!("unknown key; did you mean `{known}`?"),
        None => "unknown key; `dunlin config explain` lists them all".to_owned(),
    };
    (join(base, unknown), reason)
}

fn place(text: &str, source: &str, key: String, reason: String) -> Problem {
    let line = toml_edit::Document::parse(text)
        .ok()
        .and_then(|document| find(&document, &key))
        .map(|at| line_of(text, at));
    let source = if line.is_some() || text.is_empty() {
        source.to_owned()
    } else {
        format!("{source} or environment")
    };
    Problem {
        source,
        line,
        key,
        reason,
    }
}

/// Where `key` stands in the document, in bytes; where its innermost existing parent stands, if it does not.
fn find(document: &toml_edit::Document<&str>, key: &str) -> Option<usize> {
    let mut at: &dyn toml_edit::TableLike = document.as_table();
    let mut found = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, item)) = at.get_key_value(name) else {
            break;
        };
        found = key.span().map(|span| span.start).or(found);
        let next = match index {
            Some(index) => item
                .as_array_of_tables()
                .and_then(|tables| tables.get(index))
                .map(|table| (table.span(), table as &dyn toml_edit::TableLike)),
            None => item.as_table_like().map(|table| (None, table)),
        };
        let Some((span, table)) = next else { break };
        found = span.map(|span| span.start).or(found);
        at = table;
    }
    found
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        load_text(text, "dunlin.toml", &[])
            .expect_err("should be refused")
            .to_string()
    }

    #[test]
    fn unknown_keys_are_refused_with_line_and_suggestion() {
        for (text, expected) in [
            (
                "\nnodde = 'a'\n",
                "dunlin.toml:2: nodde: unknown key; did you mean `node`?",
            ),
            (
                "[log]\n\nfilterr = 'a'\n",
                "dunlin.toml:3: log.filterr: unknown key; did you mean `filter`?",
            ),
            (
                "[[hosts]]\ndomain = 'a'\ncertificat = 'b'\n",
                "dunlin.toml:3: hosts[0].certificat: unknown key; did you mean `certificate`?",
            ),
            (
                "zzzzzzzzzzzz = 1\n",
                "dunlin.toml:1: zzzzzzzzzzzz: unknown key; `dunlin config explain` lists them all",
            ),
        ] {
            assert_eq!(complaint(text), expected);
        }
    }

    #[test]
    fn wrong_types_and_bad_syntax_name_the_line() {
        assert!(
            complaint("node = 'a'\n[passwords]\niterations = 'many'\n")
                .starts_with("dunlin.toml:3: passwords.iterations: invalid type")
        );
        assert!(complaint("node = 'a'\nhosts = [\n").starts_with("dunlin.toml:"));
    }

    #[test]
    fn what_makes_no_sense_is_one_line_with_its_place() {
        for (text, expected) in [
            ("roles = []\n", "dunlin.toml:1: roles: a process needs at least one"),
            (
                "[[hosts]]\ndomain = 'a.example'\n[[hosts]]\ndomain = 'A.example'\n",
                "dunlin.toml:4: hosts[1].domain: a.example appears twice",
            ),
            (
                "[[hosts]]\ndomain = 'a.example'\n[[router.components]]\ndomain = 'A.example'\nsecret = 's'\n",
                "dunlin.toml:4: router.components[0].domain: A.example is served already",
            ),
            (
                "[[router.components]]\ndomain = 'a.example'\nsecret = ''\n",
                "dunlin.toml:3: router.components[0].secret: is empty",
            ),
            (
                "[[hosts]]\ndomain = 'a@b'\n",
                "dunlin.toml:2: hosts[0].domain: \"a@b\" is not a domain",
            ),
            (
                "[[hosts]]\ndomain = 'a'\nkey = 'k.pem'\n",
                "dunlin.toml:1: hosts[0]: `certificate` and `key` go together",
            ),
            (
                "[[hosts]]\ndomain = 'a.example'\nadmins = ['romeo@b.example']\n",
                "dunlin.toml:3: hosts[0].admins[0]: \"romeo@b.example\" is not the address",
            ),
            (
                "[edge.outbox]\nstanzas = 0\n",
                "dunlin.toml:2: edge.outbox.stanzas: 0 would let nothing through",
            ),
            (
                "[link.windows.slot]\nstanzas = 0\nbytes = 1\n",
                "dunlin.toml:2: link.windows.slot.stanzas: 0 would let nothing through",
            ),
            (
                "[router]\nqueue_stanzas = 9000\n",
                "dunlin.toml or environment: edge.outbox.stanzas: must not be less than",
            ),
            (
                "[link.patience]\nhold_ms = 30000\n",
                "dunlin.toml:2: link.patience.hold_ms: must be less than",
            ),
            (
                "edge.trace_ratio = 7.0\n",
                "dunlin.toml:1: edge.trace_ratio: is a share",
            ),
            (
                "[passwords]\niterations = 1\n",
                "dunlin.toml:2: passwords.iterations: must be between",
            ),
            (
                "roles = ['router']\n[link]\nlisten = '127.0.0.1:7000'\n",
                "dunlin.toml or environment: store.durable: a router with `link.listen`",
            ),
            (
                "roles = ['edge']\n",
                "dunlin.toml or environment: link.routers: is missing",
            ),
            ("[log]\nfilter = 'a=b=c'\n", "dunlin.toml:2: log.filter: "),
        ] {
            let complaint = complaint(text);
            assert!(complaint.starts_with(expected), "{complaint}");
            assert_eq!(complaint.lines().count(), 1, "{complaint}");
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_named_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dunlin.toml");
        std::fs::write(
            &file,
            "[[hosts]]\ndomain = 'a'\ncertificate = '/nowhere/c'\nkey = '/nowhere/k'\n",
        )
        .unwrap();
        let complaint = load_readable(Some(&file), None).unwrap_err().to_string();
        let expected = format!("{}:3: hosts[0].certificate: cannot read /nowhere/c: ", file.display());
        assert!(complaint.starts_with(&expected), "{complaint}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let environment = [
            ("DUNLIN_NODE".to_owned(), "b".to_owned()),
            ("DUNLIN_PASSWORDS__ITERATIONS".to_owned(), "5000".to_owned()),
        ];
        let config = load_text("node = 'a'\n", "dunlin.toml", &environment).unwrap();
        assert_eq!((config.node.as_str(), config.passwords.iterations), ("b", 5000));
    }

    #[test]
    fn secrets_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "postgres://somewhere\n").unwrap();
        let text = format!("[store.postgres]\nurl_file = '{}'\n", file.display());
        let config = load_text(&text, "dunlin.toml", &[]).unwrap();
        assert_eq!(config.store.postgres.url, "postgres://somewhere".into());
        assert!(
            complaint("[store.postgres]\nurl_file = '/nowhere'\n")
                .starts_with("dunlin.toml:2: store.postgres.url_file: cannot read /nowhere")
        );
    }
}
